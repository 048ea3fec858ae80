import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from xpmlp.cli.console import describe_loss, describe_seconds
from xpmlp.cli.progress import LiveProgress, describe_epoch
from xpmlp.training import EpochRow

Run = Callable[..., Any]

ESCAPE = "\x1b"


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """A pseudo-terminal of 80 columns: the end to write to, and a function that closes it and returns what came."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    chunks = []

    def read() -> None:
        # OSError is how Linux says that the other side has closed.
        with suppress(OSError):
            while chunk := os.read(ours, 4096):
                chunks.append(chunk)

    # Read all along, or the writer waits once the terminal's buffer is full.
    reader = threading.Thread(target=read)
    reader.start()

    def written() -> str:
        os.close(theirs)
        reader.join()
        return b"".join(chunks).decode("utf-8")

    yield theirs, written
    os.close(ours)


@needs_terminal
def test_a_terminal_shows_a_bar_with_the_epoch_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    # A terminal says itself how wide it is.
    monkeypatch.delenv("COLUMNS")
    with terminal() as (theirs, written):
        code = subprocess.call(
            [sys.executable, "-m", "xpmlp", "train", "digits", "--epochs", "3", "-o", "run"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm-256color"},
        )
        text = written()
    assert code == 0
    assert "epoch 1/3" in text
    assert "━" in text
    assert "elapsed," in text
    assert "left" in text
    # Above the bar stay the lines of the epochs, and the bar itself is taken away.
    for epoch in (1, 2, 3):
        assert re.search(rf"epoch {epoch}/3   loss \d", text)
    assert text.count(f"{ESCAPE}[?25l") == text.count(f"{ESCAPE}[?25h") == 1, "the cursor is hidden, then shown"
    end = text.rpartition(f"{ESCAPE}[?25h")[2]
    assert "test accuracy" in end
    assert "━" not in end


@pytest.fixture
def xpmlp_in_terminal(xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """A function that runs the command line in this process with a terminal as its output."""

    def run(*arguments: object) -> tuple[int, str]:
        with (
            terminal() as (theirs, written),
            open(theirs, "w", encoding="utf-8", closefd=False) as stream,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", stream)
            code = xpmlp(*arguments).code
            stream.flush()
            return code, written()

    return run


@needs_terminal
def test_a_terminal_without_colors_is_written_to_without_them(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    colors = []
    for folder in ("colored", "plain"):
        code, text = xpmlp_in_terminal("train", "digits", "--epochs", 2, "-o", folder)
        monkeypatch.setenv("NO_COLOR", "1")
        assert code == 0
        assert "━" in text
        parameters = ";".join(re.findall(rf"{ESCAPE}\[([\d;]*)m", text)).split(";")
        colors.append([number for number in parameters if int(number or 0) >= 30])
    assert colors[0] != []
    assert colors[1] == []


@needs_terminal
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    code, text = xpmlp_in_terminal("train", "digits", "--epochs", 2, "-o", "run")
    assert code == 0
    assert ESCAPE not in text
    assert text.count("\r\n") == text.count("\r") == 6


@needs_terminal
@pytest.mark.parametrize("end", [MemoryError, KeyboardInterrupt])
def test_however_a_run_ends_its_terminal_gets_its_cursor_back(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    def fail(self: LiveProgress, run: Run) -> None:
        raise end

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(LiveProgress, "on_epoch_end", fail)
    code, text = xpmlp_in_terminal("train", "digits", "--epochs", 2, "-o", "run")
    assert code == (130 if end is KeyboardInterrupt else 1)
    assert text.count(f"{ESCAPE}[?25l") == text.count(f"{ESCAPE}[?25h") == 1


def check_plain(out: str) -> None:
    assert ESCAPE not in out
    assert "\r" not in out
    assert "━" not in out


def test_a_file_gets_a_plain_line_for_every_epoch(xpmlp: Run, no_pictures: None) -> None:
    code, out, err = xpmlp("train", "digits", "--epochs", 12, "-o", "run")
    assert (code, err) == (0, "")
    check_plain(out)
    epochs = [line for line in out.splitlines() if line.startswith("epoch")]
    rest = r"   loss \d\.\d{4}   test loss \d\.\d{4}   test accuracy \d\d\.\d\d %   [ \d,]{9,} samples/s"
    assert len(epochs) == 12
    for number, line in enumerate(epochs, start=1):
        assert re.fullmatch(f"epoch {number:>2}/12{rest}", line), line


def test_forced_colors_do_not_put_a_bar_into_a_log(
    xpmlp: Run, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Continuous integration sets FORCE_COLOR; its log can show colors, but not lines that move."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = xpmlp("train", "digits", "--epochs", 2, "-o", "run")
    assert code == 0
    assert "\r" not in out
    assert "━" not in out
    assert set(re.findall(rf"{ESCAPE}\[([^m]*?[A-Za-z])", out)) <= {"1m", "0m"}


def test_quiet_writes_nothing(xpmlp: Run, no_pictures: None) -> None:
    assert xpmlp("train", "digits", "--epochs", 1, "-o", "run", "--quiet") == (0, "", "")
    assert Path("run/model.safetensors").is_file()


@needs_terminal
def test_quiet_writes_nothing_to_a_terminal_either(xpmlp_in_terminal: Run) -> None:
    assert xpmlp_in_terminal("train", "digits", "--epochs", 1, "-o", "run", "-q") == (0, "")


def test_quiet_still_says_what_went_wrong(xpmlp: Run) -> None:
    code, out, err = xpmlp("train", "digits", "--quiet", "--learning-rate", "1e30", "--schedule", "constant")
    assert (code, out) == (1, "")
    assert err.startswith("Error: Training diverged in epoch 1")


@pytest.mark.parametrize(
    ("loss", "text"), [(0.0, "0.0000"), (2.30258, "2.3026"), (9999.5, "9999.5000"), (4.129e21, "4.129e+21")]
)
def test_a_loss_takes_little_room_whatever_its_size(loss: float, text: str) -> None:
    assert describe_loss(loss) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0432, "0.043 s"), (0.5, "0.5 s"), (0.999, "1 s"), (1.0, "1.0 s"), (16.06, "16.1 s")]
)
def test_a_short_time_is_not_rounded_to_nothing(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_without_test_rows_a_line_holds_what_there_is() -> None:
    row = EpochRow(3, 0.5, None, None, 0.1, 1.0, 1234.0)
    assert describe_epoch(row, 100) == "epoch   3/100   loss 0.5000       1,234 samples/s"
