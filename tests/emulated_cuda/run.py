"""Run Python on the emulated CUDA device: ``python tests/emulated_cuda/run.py -m pytest -k cupy``."""

import os
import sys
from pathlib import Path

FOLDER = str(Path(__file__).resolve().parent / "path")


def main() -> None:
    """Check what is installed, then replace this process by a Python that has the device, as its children will."""
    sys.path.insert(0, FOLDER)
    import emulated_cuda

    try:
        emulated_cuda.check_environment()
    except emulated_cuda.EmulationError as error:
        sys.exit(f"error: {error}")
    path = os.pathsep.join(filter(None, [FOLDER, os.environ.get("PYTHONPATH")]))
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], os.environ | {"PYTHONPATH": path})


if __name__ == "__main__":
    main()
