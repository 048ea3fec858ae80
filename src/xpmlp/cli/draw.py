"""``xpmlp draw``: a page that shows a network at work, opened in the browser."""

import contextlib
import os
import re
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from xpmlp import __version__
from xpmlp.datasets import load_dataset
from xpmlp.datasets.mnist import FOLDER_VARIABLE, cache_folder, find_mnist
from xpmlp.errors import ModelFileError, OutputError
from xpmlp.model import load_model, save_model
from xpmlp.model.model_file import find_model_file
from xpmlp.training import history_to_csv, train
from xpmlp.whole_files import write_whole

from . import options
from .console import make_console
from .export import page_of

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def draw(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A model.safetensors from [bold]xpmlp train[/bold], or its folder; by default one that is trained on "
            "MNIST if that is here, else on the digits.",
        ),
    ] = None,
    data_dir: options.DataDirectory = None,
) -> None:
    """Open a page that shows MODEL at work: draw a digit, change a value.

    The page goes to the cache; [bold]xpmlp export MODEL page.html[/bold] writes it elsewhere. It works offline and
    sends nothing.
    """
    console = make_console()
    folder = cache_folder().parent / "pages"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}). Write the page elsewhere: xpmlp export MODEL "
            "page.html"
        ) from error
    file = find_model_file(model) if model is not None else default_model(console, folder, data_dir)
    trained = load_model(file)
    name = re.sub(r"[^\w.-]+", "_", str(trained.training.get("data") or "model"))[:60]
    page = folder / f"{name}.html"
    write_whole(page, page_of(file, trained, data_dir, small=False))
    # Without a display, Python would start a browser for the terminal, if there is one.
    has_display = sys.platform in ("win32", "darwin") or any(map(os.environ.get, DISPLAYS))
    is_open = has_display and webbrowser.open(page.as_uri())
    opened = "opened in the browser: " if is_open else "open it in a browser: "
    console.print(Text.assemble(opened, (str(page), "bold")))


def default_model(console: Console, folder: Path, data_dir: Path | None) -> Path:
    """Return the file of the default model; it is trained the first time."""
    name = "mnist" if has_mnist(data_dir) else "digits"
    run = folder / f"{name}-{__version__}"
    file = run / "model.safetensors"
    try:
        load_model(file)
    except ModelFileError:
        dataset = load_dataset(name, data_dir)
        console.print(f"{name}: training the default network on {dataset.train.rows:,} images, this once")
        trained, result = train(dataset)
        if result.interrupted:
            raise typer.Exit(options.INTERRUPTED) from None
        run.mkdir(exist_ok=True)
        write_whole(run / "history.csv", history_to_csv(result.history).encode())
        save_model(file, trained)
    return file


def has_mnist(data_dir: Path | None) -> bool:
    """Return whether MNIST can be read without a download."""
    places = [data_dir or os.environ.get(FOLDER_VARIABLE), cache_folder()]
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            if place:
                find_mnist(Path(os.path.expanduser(place)))
                return True
    return False
