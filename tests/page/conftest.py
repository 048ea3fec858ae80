"""A real browser, and pages in it."""

import base64
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# xpmlp is imported where it is used: pytest loads this file before jaxtyping's check of the package is in place.


class Browser:
    """Chromium, headless, as a person uses it: with a mouse, a keyboard and files."""

    def __init__(self, driver: Any, page: Path) -> None:
        self.driver, self.page = driver, page

    def open(self, model: Any, content: Any = None, *, small: bool = False, **look: Any) -> None:
        """Open the page of a model."""
        from xpmlp.page import PageContent, to_page

        self.page.write_bytes(to_page(model, content or PageContent("test"), small=small))
        self.load(**look)

    def load(self, width: int = 1280, *, dark: bool = False) -> None:
        """Open the page from the disk, and wait until it is ready."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.get(self.page.as_uri())
        self.wait("return page.isReady || !document.getElementById('problem').hidden")

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        """Wait until a script returns something true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 20, poll_frequency=0.02).until(lambda driver: driver.execute_script(script))

    def find(self, selector: str) -> Any:
        """Return an element."""
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        """Return an element's text as it is shown."""
        return str(self.find(selector).text)

    def settle(self) -> None:
        """Wait until the page has answered the last event: two frames, and the pause before the steps."""
        self.driver.execute_async_script(
            "const done = arguments[0];requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 160)));"
        )

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Move, press or release the mouse."""
        pressed = {"button": "left", "clickCount": 1, "buttons": int(kind != "mouseReleased")}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **pressed})

    def draw(self, strokes: list[list[tuple[float, float]]], brush: int = 15) -> None:
        """Draw with the mouse on the cleared drawing area; strokes are points from 0 to 1."""
        self.run("page.pad.clear(); page.pad.brush = arguments[0]; scrollTo(0, 0)", brush)
        box = self.run("const box = byId('pad').getBoundingClientRect(); return [box.x, box.y, box.width, box.height]")
        for stroke in strokes:
            places = [(box[0] + x * box[2], box[1] + y * box[3]) for x, y in stroke]
            self.mouse("mousePressed", *places[0])
            for place in places[1:]:
                self.mouse("mouseMoved", *place)
            self.mouse("mouseReleased", *places[-1])

    def drawing(self, path: Path) -> Path:
        """Write the sheet that is drawn on to a PNG file."""
        url = self.run("return page.pad.sheet.toDataURL('image/png')")
        path.write_bytes(base64.b64decode(url.partition(",")[2]))
        return path

    def messages(self) -> list[str]:
        """Return what the browser complained about since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium as Debian packages it, or Chrome, with its driver."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None or shutil.which("chromedriver") is None:
        pytest.skip("Chromium and its driver are not installed")
    logging.getLogger("selenium").setLevel(logging.WARNING)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield Browser(driver, tmp_path_factory.mktemp("page") / "page.html")
    driver.quit()


@pytest.fixture(scope="session")
def digits_model(make_model: Callable[..., Any]) -> Any:
    """An untrained network for drawings of digits."""
    from xpmlp.model import ImagePreprocessor

    form = ImagePreprocessor(28, 28, "dark", 20 / 28, "mass")
    return make_model(form=form, hidden=(24, 9), activation="relu", classes=range(10))


@pytest.fixture(scope="session")
def mnist_model(mnist: Any) -> Any:
    """The default model for MNIST after a few epochs."""
    import xpmlp

    return xpmlp.train(mnist, xpmlp.Recipe(epochs=5))[0]
