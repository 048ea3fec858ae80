import json.decoder
import subprocess
import sys
from pathlib import Path

import pytest

from xpmlp.errors import MissingDependencyError
from xpmlp.optional_imports import import_optional


def test_a_module_that_is_installed_is_imported() -> None:
    assert import_optional("json", extra="cli", purpose="testing") is json
    assert import_optional("json.decoder", extra="cli", purpose="testing") is json.decoder


@pytest.mark.parametrize("module", ["not_installed_at_all", "not_installed_at_all.part.of_it"])
def test_a_module_that_is_missing_is_reported_with_the_command_that_installs_it(module: str) -> None:
    with pytest.raises(MissingDependencyError) as caught:
        import_optional(module, extra="cli", purpose="drawing pictures")
    assert str(caught.value) == (
        'drawing pictures needs not_installed_at_all, which is not installed. Run: pip install "xpmlp[cli]"'
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("import something_else_not_installed", ModuleNotFoundError),
        ("from json import nothing_of_that_name", ImportError),
        ("raise RuntimeError('driver too old')", RuntimeError),
        ("raise ModuleNotFoundError('odd')", ModuleNotFoundError),
    ],
)
def test_a_broken_installation_is_not_taken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, error: type[Exception]
) -> None:
    (tmp_path / "broken_package.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    with pytest.raises(error) as caught:
        import_optional("broken_package", extra="cli", purpose="testing")
    assert not isinstance(caught.value, MissingDependencyError)


def test_nothing_of_an_extra_is_imported_with_the_package() -> None:
    extras = ["typer", "rich", "polars", "pooch", "matplotlib", "PIL", "torch", "jax", "cupy", "onnx", "sklearn"]
    code = f"import sys, xpmlp; print([name for name in {extras!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
