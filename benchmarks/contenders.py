"""The peers: what people would use instead, each trained as its own documentation does it."""

import importlib.util
from pathlib import Path

from xpmlp.backends import usable_backends
from xpmlp.bench import Contender, backend_contender
from xpmlp.bench.worker import share_gpus

PEERS_FOLDER = str(Path(__file__).parent / "peers")


def peer(name: str, module: str, **arguments: object) -> Contender:
    """Return a peer whose module lies in the folder of peers."""
    return Contender(name, f"{module}:make_trainer", dict(arguments), path=PEERS_FOLDER)


# Each with the packages that it needs.
PEERS: dict[str, tuple[Contender, tuple[str, ...]]] = {
    contender.name: (contender, packages)
    for contender, packages in (
        (peer("notebook float64", "notebook_trainer", dtype="float64"), ()),
        (peer("notebook float32", "notebook_trainer", dtype="float32"), ()),
        (peer("scikit-learn", "scikit_learn"), ("sklearn",)),
        (peer("PyTorch eager", "torch_nn"), ("torch",)),
        (peer("PyTorch compile", "torch_nn", compiled=True), ("torch",)),
        (peer("JAX grad+jit+scan", "jax_scan"), ("jax",)),
        (peer("Keras on JAX", "keras_jax"), ("keras", "jax")),
        (peer("Thinc", "thinc_chain"), ("thinc",)),
    )
}
CUDA_PEERS: dict[str, tuple[Contender, tuple[str, ...]]] = {
    contender.name: (contender, packages)
    for contender, packages in (
        (peer("PyTorch eager", "torch_nn", device="cuda"), ("torch",)),
        (peer("PyTorch compile", "torch_nn", compiled=True, device="cuda"), ("torch",)),
        (peer("JAX grad+jit+scan", "jax_scan"), ("jax",)),
        (peer("Keras on JAX", "keras_jax"), ("keras", "jax")),
    )
}


def all_contenders(names: list[str] | None = None, *, cuda: bool = False) -> tuple[list[Contender], list[str]]:
    """Return our backends and the peers that can be timed here, and for each of the others why it cannot.

    Parameters
    ----------
    names
        Of the contenders that are wanted; by default all.
    cuda
        Whether all of them compute on a GPU; by default on the CPU.
    """
    share_gpus()  # before this process looks what there is
    peers = CUDA_PEERS if cuda else PEERS
    suffix = ":cuda" if cuda else ":cpu"
    ours = {name: backend_contender(f"{name}{suffix}") for name in usable_backends() if cuda or name != "cupy"}
    if cuda:
        ours.pop("numpy")
    unknown = [name for name in names or [] if name not in peers and name not in ours]
    if unknown:
        raise SystemExit(f"error: {unknown[0]!r} is not one of {', '.join([*ours, *peers])}.")
    found, missing = [], []
    for name, contender in ours.items():
        if names is None or name in names:
            found.append(Contender(name, contender.factory, contender.arguments, ours=True))
    for name, (contender, packages) in peers.items():
        if names is None or name in names:
            absent = [package for package in packages if importlib.util.find_spec(package) is None]
            found += [] if absent else [contender]
            missing += [f"{name}: {absent[0]} is not installed"] if absent else []
    return found, missing
