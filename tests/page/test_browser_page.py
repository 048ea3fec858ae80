"""The page as a person meets it: names, files, keys, sizes and colors, in a real browser."""

import base64
import io
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from xpmlp.model import Column, TableSchema
from xpmlp.model.image_preprocessor import prepare_marks
from xpmlp.page import PageContent

pytestmark = pytest.mark.slow

RUN = "document.title='run'"
CONTROLS = {"button", "slider", "spinbutton", "combobox", "checkbox", "radio", "textbox", "image"}
HOSTILE = f'</script><img src=x onerror="{RUN}"><script>{RUN}</script>"\'\n\r\x1b[31m\u2028 &amp;'


@pytest.fixture
def make_houses(make_model: Any) -> Any:
    """A function that makes a network for a table with such columns."""

    def make(names: tuple[str, str, str] = ("height", "color", "works"), target: str = "price") -> Any:
        number, category, boolean = names
        columns = (
            Column(number, "number", fill=1.0, offset=2.0, scale=3.0),
            Column(category, "category", ("red", HOSTILE if HOSTILE in category else "blue")),
            Column(boolean, "boolean"),
        )
        schema, settings = TableSchema(columns, target=target), {"loss": "squared_error", "classes": (), "outputs": 1}
        return make_model(hidden=(9,), activation="relu", schema=schema, output_names=(target,), **settings)

    return make


def examples(count: int = 30) -> PageContent:
    x = np.random.default_rng(1).integers(0, 256, (count, 784)).astype(np.float32) / np.float32(255)
    history = [{"epoch": n, "train_loss": 1 / n, "test_loss": 2 / n, "test_accuracy": 1 - 1 / n} for n in (1, 2, 3)]
    report = {"confusion": (np.eye(10, dtype=int) * 1000).tolist()}
    facts = [("Optimizer", "nesterov"), ("Versions", "python 3.11.7, numpy 2.4.6, scikit-learn 1.9.1")]
    return PageContent("A title", "A summary.", facts, history, report, x, [n % 10 for n in range(count)])


def picture_file(path: Path, text: str | None = None) -> Path:
    picture = Image.new("RGB", (300, 260), "white")
    if text is None:
        ImageDraw.Draw(picture).line([(80, 40), (200, 40), (120, 220)], fill="black", width=24)
    picture.save(path)
    return path


def test_hostile_names_are_shown_as_text(browser: Any, make_model: Any, digits_model: Any, make_houses: Any) -> None:
    facts = [(HOSTILE, HOSTILE)]
    names = (HOSTILE, HOSTILE + "2", HOSTILE + "3")
    content = PageContent(HOSTILE, HOSTILE, facts, examples=np.zeros((1, 784), np.float32), labels=[HOSTILE])
    for model, shown in (
        (make_model(form=digits_model.image_preprocessor, classes=(*names[:2], "c")), content),
        (make_houses(names, HOSTILE + "4"), PageContent(HOSTILE, HOSTILE, facts)),
    ):
        browser.open(model, shown)
        browser.settle()
        assert browser.run("return page.isReady")
        assert browser.run("return document.querySelectorAll('img, body script').length") == 3  # the page's own three
        assert browser.run("return document.title") != "run"
        for selector in ("h1", "#summary", "#about"):
            assert "</script><img src=x onerror=" in browser.text(selector)
            assert r"\x1b[31m" in browser.text(selector)
        assert browser.run("return document.body.innerText").count("\x1b") == 0
    browser.run("byId('csv').value = 'a,b\\n1,2'")
    browser.find("#predict-rows").click()
    assert HOSTILE[:20] in browser.text("#csv-problem")


def test_not_one_request_leaves_the_page(browser: Any, digits_model: Any) -> None:
    """Nor can a script make one: the policy forbids it, and code from text."""
    browser.driver.get_log("performance")
    browser.open(digits_model, examples())
    browser.draw([[(0.3, 0.2), (0.7, 0.2), (0.4, 0.8)]])
    browser.settle()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        outcome = browser.driver.execute_async_script(
            """
            const [address, done] = arguments;
            const image = new Image();
            image.src = address + "image";
            fetch(address).then(() => done("sent"), (error) => done(String(error)));
            """,
            address,
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert outcome.startswith("TypeError")
    messages = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    requests = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    sent = [parameters["request"]["url"] for parameters in requests]
    assert [url for url in sent if not url.startswith(address)] == [browser.page.as_uri()]
    blocked = browser.run(
        "const script = document.createElement('script');"
        "try { script.textContent = 'page.isChanged = true'; document.body.append(script); } catch {}"
        "return page.isChanged === undefined"
    )
    assert blocked
    assert any("Content Security Policy" in message or "Refused" in message for message in browser.messages())


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_at_any_width_nothing_overflows_or_is_blank_and_every_control_has_a_name(
    browser: Any, make_model: Any, digits_model: Any, make_houses: Any, width: int
) -> None:
    """Names as a screen reader computes them."""
    long = "a_rather_long_name_without_any_space_in_it_" * 2
    many = tuple(f"{long}{index}" for index in range(30))
    for model, content in (
        (digits_model, examples()),
        (make_model(form=digits_model.image_preprocessor, classes=many), PageContent(long, long)),
        (make_houses((long, "b", "c"), f"{long}y"), PageContent("rows", "A summary.")),
    ):
        browser.open(model, content, width=width)
        browser.settle()
        assert browser.run("return document.documentElement.scrollWidth") <= width
        picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("L")
        assert len(picture.getcolors() or ()) > 50
        browser.driver.execute_cdp_cmd("Accessibility.enable", {})
        nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
        assert len(controls) > 10
        assert [node["role"]["value"] for node in controls if not node.get("name", {}).get("value")] == []


def test_an_old_browser_or_a_damaged_page_gets_a_sentence(browser: Any, digits_model: Any) -> None:
    browser.open(digits_model)
    without = {"source": "delete globalThis.DecompressionStream"}
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", without)
    try:
        browser.load()
        assert "recent browser" in browser.text("#problem")
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.driver.get(browser.page.as_uri())
        assert "JavaScript" in browser.text("#problem")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    text = browser.page.read_text(encoding="utf-8")
    place = text.index('id="arrays">') + 400
    browser.page.write_text(text[:place] + "!!!!" + text[place + 4 :], encoding="utf-8")
    browser.load()
    assert "cannot be shown" in browser.text("#problem")


def test_a_photo_is_chosen_dropped_and_pasted_and_one_that_is_none_or_blank_gets_a_sentence(
    browser: Any, digits_model: Any, tmp_path: Path
) -> None:
    browser.open(digits_model)
    path = picture_file(tmp_path / "photo.png")
    expected = prepare_marks(path, digits_model.image_preprocessor, single=True)[0]
    browser.find("#file").send_keys(str(path))
    browser.wait("return page.pad.input !== null")
    assert np.abs(np.array(browser.run("return Array.from(page.pad.input)")) - expected).max() <= 1 / 255
    for event in (
        "new DragEvent('drop', { dataTransfer: data })",
        "new ClipboardEvent('paste', { clipboardData: data })",
    ):
        browser.run("page.pad.clear()")
        browser.run(
            f"""
            const data = new DataTransfer();
            const content = Uint8Array.from(atob(arguments[0]), (each) => each.charCodeAt(0));
            data.items.add(new File([content], "a.png", {{ type: "image/png" }}));
            dispatchEvent({event});
            """,
            base64.b64encode(path.read_bytes()).decode(),
        )
        browser.wait("return page.pad.input !== null")
        assert np.abs(np.array(browser.run("return Array.from(page.pad.input)")) - expected).max() <= 1 / 255
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    browser.find("#file").send_keys(str(tmp_path / "text.png"))
    browser.wait("return byId('picture-problem').textContent")
    assert "text.png is not a picture" in browser.text("#picture-problem")
    browser.find("#file").send_keys(str(picture_file(tmp_path / "blank.png", "blank")))
    browser.wait("return byId('picture-problem').textContent.includes('blank')")


def test_a_drawing_can_be_undone_and_a_stroke_added_to_a_picture(browser: Any, digits_model: Any) -> None:
    browser.open(digits_model, examples())
    assert browser.run("return page.pad.items.length") == 1  # the page opens with an example
    box = browser.run("const box = byId('pad').getBoundingClientRect(); return [box.x + 50, box.y + 50]")
    browser.mouse("mousePressed", *box)
    browser.mouse("mouseReleased", *box)
    assert browser.run("return page.pad.items.map((item) => Boolean(item.picture))") == [False], "it made room"
    browser.draw([[(0.3, 0.2), (0.7, 0.2)], [(0.7, 0.2), (0.4, 0.8)]])
    browser.settle()
    both = browser.run("return Array.from(page.pad.input)")
    browser.find("#undo").click()
    browser.settle()
    assert browser.run("return Array.from(page.pad.input)") != both
    browser.find("#undo").click()
    browser.settle()
    assert browser.text("#best") == "–"
    assert not browser.find("#undo").is_enabled()
    browser.run("document.querySelectorAll('.strip button')[3].click()")
    exact = browser.run("return Array.from(page.pad.input)")
    browser.mouse("mousePressed", *box)
    browser.mouse("mouseReleased", *box)
    assert browser.run("return Array.from(page.pad.input)") != exact


def test_the_keyboard_draws_undoes_and_chooses(browser: Any, digits_model: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(digits_model)
    pad = browser.find("#pad")
    browser.run("byId('pad').focus()")
    pad.send_keys(" ", *[Keys.ARROW_DOWN] * 8, *[Keys.ARROW_RIGHT] * 4, " ", Keys.ARROW_UP)
    assert browser.run("return page.pad.items.map((item) => item.places.length)") == [13]
    browser.settle()
    assert browser.text("#best") != "–"
    pad.send_keys(Keys.CONTROL, "z")
    assert browser.run("return page.pad.items.length") == 0
    browser.draw([[(0.3, 0.2), (0.7, 0.2), (0.4, 0.8)]])
    browser.settle()
    browser.run("document.querySelector('.bar[tabindex=\"0\"]').focus()")
    likeliest = browser.driver.switch_to.active_element.text
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    chosen = browser.run("return document.querySelector('.bar[aria-checked=\"true\"]').textContent")
    assert chosen != likeliest
    assert browser.text("#overlay-class").strip("“”") == chosen[0]
    browser.run("document.querySelector('.grid button').focus()")
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "Layer 1, unit 3" in browser.text("#unit")
    browser.wait("return byId('spoken').textContent")


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_background(browser: Any, digits_model: Any, dark: bool) -> None:
    """The ratio that WCAG asks for, of every text color to the page's background, light and dark."""
    browser.open(digits_model, examples(), dark=dark)
    names = ["paper", "surface", "ink", "quiet", "accent", "against"]
    colors = dict(zip(names, browser.run("return arguments[0].map(colorOf)", names), strict=True))

    def luminance(color: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(color) / 255]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for back in ("paper", "surface"):
        for text in ("ink", "quiet", "accent", "against"):
            lighter, darker = sorted((luminance(colors[text]), luminance(colors[back])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, back)
