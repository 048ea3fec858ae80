"""The house stands as it was drawn: a room uses the rooms below it, never those above or beside it."""

import ast
import sys
from pathlib import Path

import pytest

import xpmlp

# Every room of the package, from the roof down, with the rooms that it may use. A room is a module or a folder; those
# that do not exist yet are planned. `below` stands for every room on a lower floor.
FLOOR_PLAN = """
    8  __main__          below
    7  cli               below
    6  __init__          below
    5  bench             below
    5  estimators        below
    4  training          below
    4  inspection        below
    3  backends          nn errors optional_imports
    3  datasets          table_form errors optional_imports whole_files
    3  model_file        model image_form table_form nn errors whole_files
    3  plots             model image_form nn errors optional_imports whole_files
    3  export            model image_form table_form nn errors optional_imports whole_files
    2  model             image_form table_form nn errors
    1  image_form        errors optional_imports
    1  table_form        errors optional_imports
    0  environment
    0  optional_imports  errors
    0  whole_files       errors
    0  nn
   -1  errors
"""

# The same for the rooms within nn.
NN_PLAN = """
    4  step              below
    3  objective         below
    2  network           below
    2  optimizers        below
    1  dropout           layers
    1  initializers      layers
    0  layers
    0  activations
    0  losses
    0  __init__
"""

# Where it matters which libraries a room knows. A backend knows its own besides.
LIBRARIES = {
    "nn": {"jaxtyping"},
    "backends": {"array_api_compat", "jaxtyping", "numpy"},
    "errors": set(),
    "optional_imports": set(),
    "whole_files": set(),
}
OWN_LIBRARIES = {
    "numpy": {"threadpoolctl"},
    "openblas": {"threadpoolctl"},
    "cupy": {"cupy"},
    "cublas": {"cupy", "nvmath"},
    "torch": {"torch"},
    "lent_tensors": {"torch"},
    "torch_namespace": {"torch"},
    "jax": {"jax", "jaxlib"},
}
# Modules that load others by a name in a string would go around the plan.
LOADERS = {"importlib", "__import__", "exec", "eval"}

PACKAGE = Path(xpmlp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def read_plan(text: str) -> tuple[dict[str, int], dict[str, set[str]]]:
    """The floor of each room, and the rooms that it may use."""
    lines = [line.split() for line in text.strip().splitlines()]
    floors = {room: int(floor) for floor, room, *_ in lines}
    uses = {}
    for floor, room, *words in lines:
        allowed = {word for word in words if word in floors}
        if "below" in words:
            allowed |= {other for other, height in floors.items() if height < int(floor)}
        uses[room] = allowed
    return floors, uses


def imported(source: str, module: str, *, is_package: bool) -> set[str]:
    """The full dotted names of all that a module imports, wherever in it the import stands."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOADERS:
            names.add(node.func.id)
    return names


def offences(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module of the package imports against the plan, as sentences."""
    floors, uses = read_plan(FLOOR_PLAN)
    nn_floors, nn_uses = read_plan(NN_PLAN)
    names = imported(source, module, is_package=is_package)
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else "__init__"
    if room not in floors:
        return [f"{module} has no place in the floor plan"]

    found = []
    for name in sorted(names):
        first, *rest = name.split(".")
        if first != "xpmlp":
            known = LIBRARIES.get(room)
            if room == "backends" and known is not None:
                known = known | OWN_LIBRARIES.get(parts[-1], set())
            is_loader = room == "nn" and first in LOADERS
            if is_loader or (known is not None and first not in known and first not in sys.stdlib_module_names):
                found.append(f"{module} imports {first}")
            continue
        target = rest[0] if rest and rest[0] in floors else "__init__"
        if target != room and target not in uses[room]:
            found.append(f"{module} (floor {floors[room]}) imports {target} (floor {floors[target]})")
        if target == room == "nn":
            mine, theirs = parts[2] if len(parts) > 2 else "__init__", rest[1] if len(rest) > 1 else "__init__"
            if mine not in nn_floors or theirs not in nn_floors:
                found.append(f"{module} or {name} has no place in the floor plan of nn")
            elif theirs != mine and theirs not in nn_uses[mine]:
                found.append(f"{module} (floor {nn_floors[mine]} of nn) imports {theirs} (floor {nn_floors[theirs]})")
    return found


def dotted(path: Path) -> str:
    """The module's full name."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_uses_only_rooms_below_its_own(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8"), dotted(path), is_package=path.name == "__init__.py") == []


def test_the_plan_itself_points_only_downwards() -> None:
    for plan in (FLOOR_PLAN, NN_PLAN):
        floors, uses = read_plan(plan)
        for room, allowed in uses.items():
            assert all(floors[other] < floors[room] for other in allowed), room


def test_every_room_that_the_plan_says_is_built_is_there_to_be_checked() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert {"nn", "errors", "backends", "datasets", "image_form", "model", "model_file", "training", "cli"} <= rooms


@pytest.mark.parametrize(
    ("module", "source", "offence"),
    [
        ("xpmlp.nn.losses", "import numpy as np", "imports numpy"),
        ("xpmlp.nn.losses", "def f():\n    from torch.nn import functional", "imports torch"),
        ("xpmlp.nn.losses", "import importlib", "imports importlib"),
        ("xpmlp.nn.losses", "__import__('numpy')", "imports __import__"),
        ("xpmlp.nn.losses", "from ..errors import XpmlpError", "(floor 0) imports errors (floor -1)"),
        ("xpmlp.nn.losses", "from .activations import tanh", "(floor 0 of nn) imports activations"),
        ("xpmlp.nn.network", "from .step import make_step", "imports step (floor 4)"),
        ("xpmlp.nn.network", "from . import objective", "imports objective (floor 3)"),
        ("xpmlp.nn.pooling", "from .layers import Layer", "no place in the floor plan of nn"),
        ("xpmlp.backends.torch", "import xpmlp.training.fit", "(floor 3) imports training (floor 4)"),
        ("xpmlp.backends.torch", "import cupy", "imports cupy"),
        ("xpmlp.backends.base", "from xpmlp.datasets import Dataset", "(floor 3) imports datasets (floor 3)"),
        ("xpmlp.datasets.idx", "from .. import model_file", "imports model_file"),
        ("xpmlp.image_form", "from .model import Model", "(floor 1) imports model (floor 2)"),
        ("xpmlp.model", "from xpmlp import load_model", "imports __init__"),
        ("xpmlp.model_file", "import xpmlp", "imports __init__"),
        ("xpmlp.training.fit", "if TYPE_CHECKING:\n    from ..cli.progress import Bar", "imports cli"),
        ("xpmlp.attic", "", "has no place"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str, offence: str) -> None:
    (found,) = offences(source, module)
    assert offence in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("xpmlp.nn.step", "from .layers import Layers\nfrom collections.abc import Callable\nimport jaxtyping"),
        ("xpmlp.backends.torch", "import torch\nfrom xpmlp.nn.step import Step\nfrom .base import Backend"),
        ("xpmlp.training.fit", "from xpmlp.backends import Backend\nfrom .history import EpochRow\nimport polars"),
        ("xpmlp.cli.app", "from xpmlp import __version__, plots\nimport typer"),
    ],
)
def test_an_import_from_below_or_from_beside_in_the_same_room_is_not(module: str, source: str) -> None:
    assert offences(source, module) == []


def test_relative_imports_of_a_package_are_read_from_its_own_folder() -> None:
    assert imported("from .base import Backend", "xpmlp.backends", is_package=True) == {"xpmlp.backends.base.Backend"}
    assert offences("from . import cli", "xpmlp", is_package=True) == ["xpmlp (floor 6) imports cli (floor 7)"]
