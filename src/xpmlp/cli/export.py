"""``xpmlp export``: a saved model for use without this package."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from xpmlp.errors import XpmlpError
from xpmlp.export import to_onnx, to_script
from xpmlp.model.model_file import load_model
from xpmlp.whole_files import write_whole

from .arguments import ModelPath, find_model_file
from .console import make_console, print_note
from .export_check import SAMPLES, difference_of_onnx, difference_of_script
from .predict import check_output

KINDS = (".onnx", ".py")
# Of two computations in float32 whose order differs, relative to the largest value.
LARGEST_DIFFERENCE = 1e-3


def export(
    model: ModelPath,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A .onnx, for ONNX Runtime in any language and in the browser; or a .py, which needs NumPy alone.",
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace that file if it exists.")] = False,
) -> None:
    """Write MODEL as an ONNX graph, or as one Python file that needs NumPy alone.

    Either takes raw values, such as pixels of 0 to 255, and does the scaling itself. It is run on some made-up samples
    and compared with what [bold]xpmlp predict[/bold] says of them before it is written.
    """
    check_output(output, KINDS, force=force)
    trained = load_model(find_model_file(model))
    if output.suffix.lower() == ".onnx":
        content = to_onnx(trained)
        is_runnable = importlib.util.find_spec("onnxruntime") is not None
        difference = difference_of_onnx(trained, content) if is_runnable else None
    else:
        source = to_script(trained, output.stem)
        content, difference = source.encode(), difference_of_script(trained, source)
    # NaN is no answer either.
    if difference is not None and not difference <= LARGEST_DIFFERENCE:
        raise XpmlpError(
            f"{output}: not written, for what it says differs from the model by {difference:.1g}. This is a mistake in "
            "xpmlp: please report it with the model."
        )
    write_whole(output, content)
    size = f"{len(content) / 1e6:.1f} MB" if len(content) >= 100_000 else f"{len(content) / 1e3:.1f} kB"
    agrees = "" if difference is None else f"; agrees with predict to {max(difference, 1e-16):.0e} on {SAMPLES} samples"
    make_console().print(f"written to {output}: {size}{agrees}")
    if difference is None:
        print_note("onnxruntime is not installed, so the graph was checked but not run. Run: pip install onnxruntime")
