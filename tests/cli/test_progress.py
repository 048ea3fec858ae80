import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from xpmlp.cli.console import describe_seconds
from xpmlp.training import EpochRow
from xpmlp.training.progress import LiveProgress, describe_epoch, describe_loss, make_progress

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("no_pictures")

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
def test_a_terminal_shows_a_bar_with_the_epoch_and_the_time_left(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")  # a terminal says itself how wide it is
    monkeypatch.setenv("TERM", "xterm-256color")
    text = xpmlp_in_terminal("train", "digits", "--epochs", 3, "-o", "run")
    for words in ("0/3 epochs", "━", "elapsed,", "left"):
        assert words in text
    # Above the bar stay the lines of the epochs, and the bar itself is taken away.
    for epoch in (1, 2, 3):
        assert re.search(rf"epoch {epoch}/3   loss \d", text)
    assert text.count(f"{ESCAPE}[?25l") == text.count(f"{ESCAPE}[?25h") == 1, "the cursor is hidden, then shown"
    end = text.rpartition(f"{ESCAPE}[?25h")[2]
    assert "test accuracy" in end
    assert "━" not in end


@pytest.fixture
def xpmlp_in_terminal(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A function that runs the command line in this process with a terminal as its output."""

    def run(*arguments: object, status: int = 0) -> str:
        with (
            terminal() as (theirs, written),
            open(theirs, "w", encoding="utf-8", closefd=False) as stream,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, "stdout", stream)
            xpmlp(*arguments, status=status)
            stream.flush()
            return written()

    return run


@needs_terminal
def test_a_terminal_without_colors_or_a_cursor_that_moves_gets_none(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for variable, value in (("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(variable, value)
        texts.append(xpmlp_in_terminal("train", "digits", "--epochs", 2, "-o", "run", "--force"))
    found = [set(";".join(re.findall(rf"{ESCAPE}\[([\d;]*)m", text)).split(";")) for text in texts]
    has_color = [any(int(number or 0) >= 30 for number in numbers) for numbers in found]
    assert has_color == [True, False, False]
    assert ["━" in text for text in texts] == [True, True, False]
    assert ESCAPE not in texts[2]
    assert texts[2].count("\r\n") == texts[2].count("\r") == 7


@needs_terminal
@pytest.mark.parametrize("end", [MemoryError, KeyboardInterrupt])
def test_however_a_run_ends_its_terminal_gets_its_cursor_back(
    xpmlp_in_terminal: Run, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    def fail(self: LiveProgress, run: Run) -> None:
        raise end

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(LiveProgress, "on_epoch_end", fail)
    status = 130 if end is KeyboardInterrupt else 1
    text = xpmlp_in_terminal("train", "digits", "--epochs", 2, "-o", "run", status=status)
    assert text.count(f"{ESCAPE}[?25l") == text.count(f"{ESCAPE}[?25h") == 1


def test_a_file_gets_a_plain_line_for_every_epoch(xpmlp: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if FORCE_COLOR is set, as by continuous integration: its log can show colors, but not lines that move."""
    rest = r"   loss \d\.\d{4}   test loss \d\.\d{4}   test accuracy \d\d\.\d\d %   [ \d,]{9,} samples/s"
    for folder, allowed in (("plain", set()), ("colored", {"1m", "0m"})):
        code, out, err = xpmlp("train", "digits", "--epochs", 12, "-o", folder)
        assert (code, err) == (0, "")
        assert "\r" not in out
        assert "━" not in out
        assert set(re.findall(rf"{ESCAPE}\[([^m]*?[A-Za-z])", out)) <= allowed
        epochs = [line for line in out.splitlines() if line.startswith("epoch")]
        assert len(epochs) == 12
        for number, line in enumerate(epochs, start=1):
            assert re.fullmatch(f"epoch {number:>2}/12{rest}", line), line
        monkeypatch.setenv("FORCE_COLOR", "1")


@needs_terminal
def test_quiet_writes_nothing(xpmlp_in_terminal: Run, xpmlp: Run) -> None:
    assert xpmlp_in_terminal("train", "digits", "--epochs", 1, "-o", "run", "-q") == ""
    assert xpmlp("train", "digits", "--epochs", 1, "-o", "other", "--quiet") == (0, "", "")
    assert Path("other/model.safetensors").is_file()


def test_numbers_take_little_room_whatever_their_size() -> None:
    losses = {0.0: "0.0000", 2.30258: "2.3026", 9999.5: "9999.5000", 4.129e21: "4.129e+21"}
    assert {loss: describe_loss(loss) for loss in losses} == losses
    times = {0.0432: "0.043 s", 0.5: "0.5 s", 0.999: "1 s", 1.0: "1.0 s", 16.06: "16.1 s"}
    assert {seconds: describe_seconds(seconds) for seconds in times} == times


def test_without_test_rows_a_line_holds_what_there_is() -> None:
    row = EpochRow(3, 0.5, None, None, 0.1, 1.0, 1234.0)
    assert describe_epoch(row, 100) == "epoch   3/100   loss 0.5000       1,234 samples/s"


def test_many_short_epochs_are_not_all_written_but_the_last_is(xpmlp: Run) -> None:
    """So that the notes on a table stay on the screen."""
    for options, last in ((["--epochs", 200], 200), (["--epochs", 300, "--patience", 1], None)):
        out = xpmlp("train", "iris", "--output", "run", "--force", *options).out
        written = [int(number) for number in re.findall(r"^epoch +(\d+)/", out, re.MULTILINE)]
        history = Path("run/history.csv").read_text().splitlines()
        assert written[0] == 1
        assert written[-1] == len(history) - 1
        assert last in (None, written[-1])
        assert len(written) < 40


def test_from_python_processes_under_a_launcher_draw_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_progress(), LiveProgress)
    assert not isinstance(make_progress(can_move=False), LiveProgress)
