"""Files damaged at random are read or refused with the package's own errors, by every reader."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "mutations.py"


def load_script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("mutations", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


mutations = load_script()


@pytest.mark.skipif(sys.platform == "win32", reason="needs the alarm signal")
@pytest.mark.parametrize(
    ("reader", "count"),
    [
        *((reader, 10) for reader in ("csv", "model")),
        *(
            pytest.param(reader, 60 if "arrow" in reader else 300, marks=pytest.mark.slow)
            for reader in mutations.READERS
        ),
    ],
)
def test_damage_is_refused_or_read(reader: str, count: int, tmp_path: Path) -> None:
    if reader == "xlsx":
        pytest.importorskip("fastexcel")
    counts, failures = mutations.run_reader(reader, 0, count, tmp_path)
    assert failures == []
    assert counts["tried"] == count
    assert counts["refused"] > 0.3 * count


def test_what_goes_wrong_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    for read, outcome in (
        (lambda path: 1 / 0, "ZeroDivisionError"),
        (lambda path: mutations.read_idx(path), "refused"),
        (lambda path: None, "read"),
    ):
        path.write_bytes(b"damaged")
        assert outcome in mutations.read_one(read, path)
