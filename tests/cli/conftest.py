"""Running the command line, here and as a process of its own, and what to run it on."""

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

# xpmlp is imported where it is used: pytest loads this file before jaxtyping's check of the package is in place.


class Finished(NamedTuple):
    """What a run of the command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newcomer's start: an empty folder, and an environment that says nothing about data or colors."""
    for name in ("XPMLP_DATA_DIR", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    # For rich's own width under pytest as in a terminal, and for processes that print × whatever the locale.
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def xpmlp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Finished]]:
    """A function that runs the command line in this process, and checks its exit status, if one is given."""
    from xpmlp.cli import main

    def run(*arguments: object, status: int | None = 0) -> Finished:
        monkeypatch.setattr(sys, "argv", ["xpmlp", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        captured = capsys.readouterr()
        err = captured.err + (f"{code}\n" if isinstance(code, str) else "")
        finished = Finished(code if isinstance(code, int) else int(code is not None), captured.out, err)
        assert status in (finished.code, None), finished
        return finished

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in numbers}
    level, threshold = logging.getLogger("xpmlp").level, gc.get_threshold()
    yield run
    gc.set_threshold(*threshold)
    logging.getLogger("xpmlp").setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """A function that starts the command line as a process of its own, or other code in its place."""
    with contextlib.ExitStack() as stack:

        def run(*arguments: object, code: str | None = None, **options: Any) -> Any:
            what = ("-m", "xpmlp") if code is None else ("-c", code)
            settings: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
            settings |= {"env": os.environ | {"PYTHONUNBUFFERED": "1"}} | options
            process = subprocess.Popen([sys.executable, *what, *map(str, arguments)], encoding="utf-8", **settings)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def command(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Finished]:
    """A function that runs the command line, or other code, as a process to its end."""

    def run(*arguments: object, **options: Any) -> Finished:
        process = start(*arguments, **{"env": os.environ} | options)
        out, err = process.communicate(timeout=300)
        return Finished(process.returncode, out, err)

    return run


@pytest.fixture
def refused(xpmlp: Callable[..., Finished]) -> Callable[..., str]:
    """A function that returns the line on standard error of a command that must fail; it must hold these words."""

    def check(arguments: Sequence[object], *words: str) -> str:
        _, out, err = xpmlp(*arguments, status=1)
        assert out == "", arguments
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        for word in words:
            assert word in err
        return err

    return check


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the time that drawing takes, where pictures are not what a test is about."""
    from xpmlp import plots

    for name in (name for name in plots.__all__ if name.startswith("draw_")):
        monkeypatch.setattr(f"xpmlp.plots.{name}", lambda *args, **kwargs: b"a picture")
    monkeypatch.setattr("xpmlp.model.Model.plot_weights", lambda *args: b"a picture")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that reads scikit-learn's digits."""
    from xpmlp import load_dataset, save_model, train

    folder = tmp_path_factory.mktemp("digits-run")
    model, _ = train(load_dataset("digits"))
    save_model(folder / "model.safetensors", model)
    return folder


@pytest.fixture(scope="session")
def write_idx_folder(write_idx: Callable[[Path, np.ndarray], Path]) -> Callable[..., Path]:
    """A function that writes images and labels as the four files of a dataset in MNIST's layout."""

    def write(folder: Path, images: np.ndarray, labels: np.ndarray, *, prefix: str = "", test_rows: int = 0) -> Path:
        test_rows = test_rows or len(images) // 4
        for split, rows in (("train", slice(test_rows, None)), ("t10k", slice(0, test_rows))):
            write_idx(folder / f"{prefix}{split}-images-idx3-ubyte", images[rows])
            write_idx(folder / f"{prefix}{split}-labels-idx1-ubyte", labels[rows])
        return folder

    return write


@pytest.fixture(scope="session")
def digit_images() -> tuple[np.ndarray, np.ndarray]:
    """The test digits as images of 0 to 255, and what they show."""
    from xpmlp import load_dataset

    test = load_dataset("digits").test
    images = np.round(test.x.reshape(-1, 8, 8) * 255).astype(np.uint8)
    return images, np.asarray(test.labels, dtype=np.uint8)


@pytest.fixture(scope="session")
def digits_of_16(digit_images: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same in the digits' own range of 0 to 16."""
    return np.round(digit_images[0] / 255 * 16).astype(np.uint8), digit_images[1]
