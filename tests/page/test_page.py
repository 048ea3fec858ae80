"""The file itself: what it holds, and what it refuses to become."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from xpmlp.errors import DataError, XpmlpError
from xpmlp.model import Column, ImagePreprocessor, TableSchema
from xpmlp.model.image_preprocessor import prepare_marks
from xpmlp.model.table_schema import Kind
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.page import PageContent, to_page
from xpmlp.page.page import source

HOSTILE = "</script><script>alert(1)</script>\"'\n\r\x1b[31m\u2028<img src=x onerror=alert(2)>"


def test_the_policy_admits_the_pages_own_script_and_style_alone(digits_model: Any) -> None:
    page = to_page(digits_model, PageContent("test")).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert not re.search(r"(?:src|href)=", page)
    assert "unsafe" not in policy


def test_names_cannot_leave_their_place(make_model: Any) -> None:
    content = PageContent(HOSTILE, HOSTILE, facts=[(HOSTILE, HOSTILE)])
    page = to_page(make_model(classes=(HOSTILE, "<!--", "\ud800")), content).decode()
    plain = to_page(make_model(), PageContent("test")).decode()
    for mark in ("<script", "</script", "<img", "<!--", "\x1b"):
        assert page.count(mark) == plain.count(mark), mark
    (text,) = re.findall(r'id="description">(.*?)</script>', page, re.DOTALL)
    assert json.loads(text)["network"]["classes"] == [HOSTILE, "<!--", "\ud800"]


def test_small_weights_take_about_half_the_bytes_and_ones_that_half_precision_cannot_hold_are_refused(
    make_model: Any,
) -> None:
    plain, large = make_model(), make_model(hidden=(20_000,))
    full, half, sources = (
        len(to_page(model, PageContent("test"), small=small))
        for model, small in ((large, False), (large, True), (plain, False))
    )
    assert half - sources < 0.6 * (full - sources)
    plain.layers[0].weight[0, 0] = 1e6
    with pytest.raises(XpmlpError, match="float16"):
        to_page(plain, PageContent("test"), small=True)


def test_a_page_that_browsers_would_choke_on_is_refused(digits_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpmlp.page.page.LARGEST_PAGE", 10_000)
    for small, message in ((False, r"would be 0 MB.* --small"), (True, "Train a smaller network")):
        with pytest.raises(XpmlpError, match=message):
            to_page(digits_model, PageContent("test"), small=small)


def test_pictures_are_prepared_as_the_specification_says(tmp_path: Path) -> None:
    """The page's own preparation is compared with the same file: see make_pictures.py."""
    for picture in json.loads((Path(__file__).parent / "pictures.json").read_bytes()):
        path = tmp_path / "picture.png"
        path.write_bytes(base64.b64decode(picture["png"]))
        form = ImagePreprocessor(**picture["form"])
        if picture["prepared"] is None:
            with pytest.raises(DataError, match="blank"):
                prepare_marks(path, form, single=True)[0]
        else:
            expected = np.frombuffer(base64.b64decode(picture["prepared"]), np.uint8) / 255
            assert np.abs(prepare_marks(path, form, single=True)[0] - expected).max() <= 1 / 255, picture["name"]


def test_the_page_knows_every_field_of_a_schema() -> None:
    """A new one changes what a row becomes: bring table.js in line with `xpmlp.datasets.tables.encoding`."""
    fields = "name kind categories fill offset scale indicator infrequent parts latest format"
    assert " ".join(Column.__struct_fields__) == fields
    assert set(get_args(Kind)) == {"number", "boolean", "category", "date"}
    assert set(TableSchema.__struct_fields__) == {"columns", "target", "missing", "scaling", "reading"}


def test_the_page_knows_every_activation_and_loss() -> None:
    script = source("network.js")
    for name in (*ACTIVATIONS, *LOSSES):
        assert re.search(rf"^  {name}: ", script, re.MULTILINE), name
