import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpmlp.cli import prepare_process

Run = Callable[..., Any]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to a process")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_is_answered_as_ctrl_c_is(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        prepare_process()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_signal_that_is_ignored_stays_so() -> None:
    """Under nohup a run outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        prepare_process()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_encoding_that_lacks_a_character_loses_no_result(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_process()
    stream.write("🚀.png is 7")
    assert content.getvalue() == rb"\U0001f680.png is 7"


def test_a_run_without_an_output_works(xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw on Windows, or with standard output closed."""
    monkeypatch.setattr(sys, "stdout", None)
    assert xpmlp("train", "digits", "--epochs", 1, "-o", "run") == (0, "", "")
    assert Path("run/model.safetensors").is_file()
