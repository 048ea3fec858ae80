"""Our backends and the peers: the libraries that people would use instead, each trained as its documentation shows."""

import importlib.util
import sys
from pathlib import Path

from xpmlp.backends import usable_backends
from xpmlp.bench import Candidate, backend_candidate
from xpmlp.bench.worker import share_gpus

sys.path.insert(0, str(Path(__file__).parent / "peers"))  # workers have the same path


def peer(name: str, module: str, **arguments: object) -> Candidate:
    """Return a peer from a module in the folder of peers."""
    return Candidate(name, f"{module}:make_trainer", arguments)


# Each with the packages it needs.
PEERS = [
    (peer("notebook float64", "notebook_trainer", dtype="float64"), ()),
    (peer("notebook float32", "notebook_trainer", dtype="float32"), ()),
    (peer("scikit-learn", "scikit_learn"), ("sklearn",)),
    (peer("PyTorch eager", "torch_nn"), ("torch",)),
    (peer("PyTorch compile", "torch_nn", compiled=True), ("torch",)),
    (peer("JAX grad+jit+scan", "jax_scan"), ("jax",)),
    (peer("Keras on JAX", "keras_jax"), ("keras", "jax")),
    (peer("Thinc", "thinc_chain"), ("thinc",)),
]
CUDA_PEERS = [
    (peer("PyTorch eager", "torch_nn", device="cuda"), ("torch",)),
    (peer("PyTorch compile", "torch_nn", compiled=True, device="cuda"), ("torch",)),
    (peer("JAX grad+jit+scan", "jax_scan"), ("jax",)),
    (peer("Keras on JAX", "keras_jax"), ("keras", "jax")),
]


def find_candidates(names: list[str] | None = None, *, cuda: bool = False) -> tuple[list[Candidate], list[str]]:
    """Return the backends and peers that run here, and for each of the others the reason why not.

    Parameters
    ----------
    names
        Candidates to return; by default all.
    cuda
        Run all on a GPU; by default on the CPU.
    """
    share_gpus()  # before this process looks for devices
    on_cpu_only, on_gpu_only = ("numpy",), ("cupy",)
    ours = [name for name in usable_backends() if name not in (on_cpu_only if cuda else on_gpu_only)]
    peers = CUDA_PEERS if cuda else PEERS
    known = [*ours, *(candidate.name for candidate, _ in peers)]
    wanted = names or known
    for name in wanted:
        if name not in known:
            raise SystemExit(f"error: {name!r} is not one of {', '.join(known)}.")
    found = [
        Candidate(name, candidate.factory, candidate.arguments, ours=True)
        for name in ours
        if name in wanted
        for candidate in (backend_candidate(f"{name}:{'cuda' if cuda else 'cpu'}"),)
    ]
    missing = []
    for candidate, packages in peers:
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        if candidate.name in wanted and absent:
            missing.append(f"{candidate.name}: {absent[0]} is not installed")
        elif candidate.name in wanted:
            found.append(candidate)
    return found, missing
