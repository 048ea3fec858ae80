"""``xpmlp draw`` opens a page of a model, its own if none is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xpmlp as package

Run = Callable[..., Any]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The addresses that a browser was told to open."""
    pytest.importorskip("pooch", reason="pooch is not installed")
    addresses: list[str] = []

    def open_(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", open_)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    return addresses


def test_a_models_page_is_opened_or_without_a_display_named(
    xpmlp: Run, digits_run: Path, opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "cache" / "xpmlp" / "pages" / "digits.html"
    assert xpmlp("draw", digits_run).out == f"opened in the browser: {page}\n"
    assert "<title>digits network</title>" in page.read_text(encoding="utf-8")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert xpmlp("draw", digits_run).out == f"open it in a browser: {page}\n"
    assert opened == [page.as_uri()]


def test_without_a_model_the_digits_are_learned_once(xpmlp: Run, opened: list[str]) -> None:
    assert "training the default network" in xpmlp("draw").out
    again = xpmlp("draw").out
    assert "training" not in again
    assert len(set(opened)) == 1


def test_a_name_that_no_file_can_have_names_no_file_and_a_cache_that_cannot_be_is_told(
    xpmlp: Run, refused: Run, digits_run: Path, opened: list[str], tmp_path: Path
) -> None:
    refused(("draw", "nowhere"), "nowhere", "xpmlp train")
    model = package.load_model(digits_run / "model.safetensors")
    model.training["data"] = "../../a\x1b[31m/" + "b" * 300
    package.save_model(Path("model.safetensors"), model)
    xpmlp("draw", "model.safetensors")
    (page,) = (tmp_path / "cache" / "xpmlp" / "pages").glob("*")
    assert len(page.name) < 80
    page.unlink()
    page.parent.rmdir()
    page.parent.write_text("a file")
    refused(("draw", digits_run), "pages", "xpmlp export MODEL page.html")


@pytest.mark.parametrize("option", [(), ("--page",)])
def test_a_run_gets_a_page_if_it_is_asked_for(xpmlp: Run, no_pictures: None, option: tuple[str, ...]) -> None:
    """One of an earlier run does not stay beside another model."""
    Path("run").mkdir()
    Path("run/model.html").write_text("old", encoding="utf-8")
    done = xpmlp("train", "iris", "--epochs", 1, "-o", "run", "--force", *option)
    assert ("model.html" in done.out) == bool(option)
    assert Path("run/model.html").exists() == bool(option)
