"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from jaxtyping import Float32

from xpmlp.backends import BACKENDS
from xpmlp.model.model import Model

from .console import print_note

DATA: Any = typer.Argument(
    metavar="DATA",
    help="[bold]digits[/bold], [bold]iris[/bold], [bold]wine[/bold], [bold]breast_cancer[/bold] or "
    "[bold]diabetes[/bold] (they come with the program), [bold]mnist[/bold] (downloaded at first use), a table "
    "(CSV, also .gz or .zst, Parquet, Arrow, .npz), or a folder of IDX files such as Fashion-MNIST's.",
)
Data = Annotated[str, DATA]
DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        help="Where MNIST's four files lie. Also taken from the environment variable XPMLP_DATA_DIR.",
    ),
]
COMPUTE = "Where it is computed"
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help=f"The array library: {', '.join(BACKENDS)}, or auto for a GPU where one can be used, else numpy. "
        "[bold]xpmlp backends[/bold] shows which work here.",
        rich_help_panel=COMPUTE,
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="cpu, cuda, cuda:1 or mps; by default the library's own choice.",
        rich_help_panel=COMPUTE,
    ),
]
Tf32 = Annotated[
    bool,
    typer.Option(
        "--tf32",
        help="Let an NVIDIA GPU round the inputs of float32 products to TF32, for speed.",
        rich_help_panel=COMPUTE,
    ),
]
ModelPath = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A model.safetensors that [bold]xpmlp train[/bold] made, or its folder."),
]


def find_model_file(path: Path) -> Path:
    """Return the model file that a user means by `path`: the file, or the one in that folder."""
    inside = path / "model.safetensors"
    return inside if inside.is_file() else path


def note_if_scaled_otherwise(x: Float32[np.ndarray, "rows features"], model: Model, *, what: str) -> None:
    """Say so where values have another range than those that the model was trained on, which lay between -1 and 1."""
    largest = float(max(x.max(), -x.min()))
    if not 0.1 <= largest <= 2.0:
        print_note(
            f"{what}: its largest value is {largest * model.input_scale:g}, but the model was trained on values up to "
            f"about {model.input_scale:g}. Scale the values alike, or the answers mean nothing."
        )
