#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2025.2.9"]
# ///

"""The project's checks: `nox` runs lint, types and tests; `nox --list` shows the rest."""

import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

# Plots are drawn without a display.
TEST_ENVIRONMENT = {"MPLBACKEND": "Agg"}

# Where array libraries take part; the other tests are the same with any number of them installed.
TESTS_WITH_ARRAYS = (
    *("tests/nn", "tests/backends", "tests/training", "tests/estimators", "tests/bench"),
    *("tests/cli/test_backends.py", "tests/cli/test_bench.py", "tests/test_docs.py"),
)

# What is checked by means of other programs: files by who reads them, the notebook by Jupyter.
TESTS_WITH_OTHER_PROGRAMS = (
    *("tests/export", "tests/inspection", "tests/datasets/tables", "tests/estimators/test_estimators.py"),
    *("tests/cli/test_export.py", "tests/test_examples.py", "tests/test_docs.py"),
)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def lowest_versions(extra: str) -> list[str]:
    """Return the requirements of an extra, each as exactly the lowest version that it allows."""
    return [requirement.replace(">=", "==") for requirement in PROJECT["project"]["optional-dependencies"][extra]]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, imports and formatting with Ruff."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    session.install("-e.[cli]", *group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    session.install("-e.[cli]", *group("test"))
    session.run("pytest", *session.posargs, env=TEST_ENVIRONMENT)


@nox.session(default=False)
def backends(session: nox.Session) -> None:
    """Run the tests that compute with PyTorch and JAX installed too, in the lowest versions that we declare."""
    session.install("-e.[cli]", *lowest_versions("torch"), *lowest_versions("jax"), *group("test"))
    session.run("pytest", *(session.posargs or TESTS_WITH_ARRAYS), env=TEST_ENVIRONMENT)


@nox.session(default=False)
def integrations(session: nox.Session) -> None:
    """Run the tests that need ONNX Runtime, pandas or Jupyter."""
    session.install("-e.[cli,onnx]", *group("integrations"))
    session.run("pytest", *(session.posargs or TESTS_WITH_OTHER_PROGRAMS), env=TEST_ENVIRONMENT)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Run every test that needs an NVIDIA GPU, on CuPy, PyTorch and JAX.

    Where these are installed already, and nothing can be installed, `python -m pytest -m gpu` is the same.
    """
    session.install("-e.[cli,torch,jax,cuda13]", "jax[cuda13]", *group("test"))
    session.run("pytest", "-m", "gpu", *session.posargs, env=TEST_ENVIRONMENT)


@nox.session(python="3.11", default=False)
def lowest(session: nox.Session) -> None:
    """Run the tests on exactly the lowest versions that pyproject.toml declares."""
    declared = [
        *PROJECT["project"]["dependencies"],
        *group("test"),
    ]
    lowest = (requirement.replace(">=", "==") for requirement in declared)
    session.install("-e.[cli]", *lowest, *lowest_versions("cli"))
    session.run("pytest", *session.posargs, env=TEST_ENVIRONMENT)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time our backends against the libraries that people would use instead; arguments after -- go to run.py."""
    session.install("-e.[cli,torch,jax]", *group("bench"))
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation's site into docs/_build, any warning being an error."""
    session.install("-e.[cli]", *group("docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build", *session.posargs)


@nox.session(default=False)
def review(session: nox.Session) -> None:
    """Compare the repository with the Scientific Python development guide."""
    session.install("sp-repo-review[cli]")
    session.run("sp-repo-review", *session.posargs, str(ROOT))


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel into dist/, then install the wheel and run its command."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(dist))

    (wheel,) = dist.glob("*.whl")
    session.install(f"xpmlp[cli] @ {wheel.as_uri()}")
    # Elsewhere, so that the installed package is what runs.
    session.chdir(session.create_tmp())
    session.run("xpmlp", "--version")


if __name__ == "__main__":
    nox.main()
