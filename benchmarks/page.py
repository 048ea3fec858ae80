"""How long a page takes: to be written, to be seen, and to answer a stroke, in Chromium with its driver.

    python benchmarks/page.py MODEL [--rounds 5]

MODEL is a model of pictures, or a run's folder. Prints the page's size, the time of `xpmlp draw` but for the browser's
start, and in the browser: the time from opening the page to its first paint and until it can be used, and from each
mouse event of a stroke to the painted answer. A frame is painted when the first task after its animation callbacks
runs. Medians, with the lowest and the highest in brackets.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine

CORNERS = [(0.3, 0.25), (0.7, 0.25), (0.35, 0.75), (0.7, 0.75)]  # of a Z, across the drawing area
POINTS = 16  # from a corner to the next
FRAME = 16  # milliseconds
WATCH_START = """
const waiting = setInterval(() => {
  if (typeof page === "undefined" || !page.isReady) return;
  clearInterval(waiting);
  window.usableAt = performance.now();
}, 1);
"""
WATCH_STROKE = """
window.answers = [];
addEventListener("pointermove", (event) => requestAnimationFrame(() => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => answers.push(performance.now() - event.timeStamp);
  port2.postMessage(null);
}), { capture: true });
const { x, y, width, height } = byId("pad").getBoundingClientRect();
page.pad.clear();
return [x, y, width, height, performance.getEntriesByName("first-contentful-paint")[0].startTime, usableAt];
"""


def time_in_browser(page: Path, *, overlay: bool) -> tuple[float, float, list[float]]:
    """Return the times of first paint, of readiness, and of the answer to each event of a stroke, in milliseconds."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1280,900"):
        options.add_argument(f"--{argument}")
    driver: Any = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH_START})
        driver.get(page.as_uri())
        time.sleep(1)
        if overlay:
            driver.execute_script("byId('overlay').click()")
        left, top, width, height, painted, usable = driver.execute_script(WATCH_STROKE)
        places = [CORNERS[0]]
        for (x, y), (to_x, to_y) in itertools.pairwise(CORNERS):
            shares = [(index + 1) / POINTS for index in range(POINTS)]
            places += [(x + share * (to_x - x), y + share * (to_y - y)) for share in shares]
        for index, (x, y) in enumerate(places):
            mouse = {"type": "mouseMoved" if index else "mousePressed", "button": "left", "clickCount": 1, "buttons": 1}
            driver.execute_cdp_cmd("Input.dispatchMouseEvent", mouse | {"x": left + x * width, "y": top + y * height})
            time.sleep(0.03)
        return painted, usable, driver.execute_script("return answers")
    finally:
        driver.quit()


def time_command(*command: str, **environment: str) -> float:
    """Run xpmlp, and return the seconds that it took."""
    start = time.perf_counter()
    process = [sys.executable, "-m", "xpmlp", *command]
    subprocess.run(process, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)
    return time.perf_counter() - start


def describe(values: list[float], digits: int = 0) -> str:
    """Return the median, the lowest and the highest of some values."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5, metavar="NUMBER")
    arguments = parser.parse_args()
    print(machine.describe())
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):  # no browser is to be started by draw
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        page, small = Path(folder, "page.html"), Path(folder, "small.html")
        time_command("export", arguments.model, str(page))
        time_command("export", arguments.model, str(small), "--small")
        print(f"size: {page.stat().st_size / 1e6:.2f} MB, with --small {small.stat().st_size / 1e6:.2f} MB")
        drawn = [time_command("draw", arguments.model, XDG_CACHE_HOME=folder) for _ in range(arguments.rounds)]
        print(f"xpmlp draw: {describe(drawn, 2)} s")
        for overlay in (False, True):
            rounds = [time_in_browser(page, overlay=overlay) for _ in range(arguments.rounds)]
            painted, usable, strokes = zip(*rounds, strict=True)
            answers = [answer for stroke in strokes for answer in stroke]
            within = sum(answer <= FRAME for answer in answers) / len(answers)
            if not overlay:
                print(f"first paint: {describe(list(painted))} ms; can be used: {describe(list(usable))} ms")
            what = "a stroke's answer with the overlay" if overlay else "a stroke's answer"
            print(f"{what}: {describe(answers, 1)} ms, {within:.0%} of {len(answers)} events within {FRAME} ms")


if __name__ == "__main__":
    main()
