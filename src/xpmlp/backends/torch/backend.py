"""PyTorch, on the CPU and on GPUs, without its autograd: the gradients are ours."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Shaped

from xpmlp.backends.base import Backend
from xpmlp.backends.devices import Device, count_threads, device_number
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import CapturedStep
from xpmlp.backends.lent_tensors import LentTensors, is_worth_lending
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState

from .namespace import TorchNamespace

WARM_UPS = 3  # before a recording, in which the libraries below PyTorch may not set anything up any more


class TorchBackend(Backend):
    """PyTorch's tensors.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; None for a GPU where PyTorch has one, else the CPU.

    Raises
    ------
    SettingsError
        Where PyTorch has no such device.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(TorchNamespace(), find_device(device))
        self.records_steps = self.device.type == "cuda"
        self.gathers_bytes = self.device.type == "cpu"
        self.recorded = CapturedEpoch(self.xp, self.record)
        self.lent = LentTensors()

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return what PyTorch could compute on."""
        gpus = [
            Device(f"cuda:{number}", torch.cuda.get_device_name(number), *reversed(torch.cuda.mem_get_info(number)))
            for number in range(torch.cuda.device_count())
        ]
        if torch.backends.mps.is_available():
            gpus.append(Device("mps", "Apple's GPU"))
        return (*gpus, Device("cpu", "processor"))

    def scope(self) -> AbstractContextManager[object]:
        """Keep PyTorch from recording what it would need for gradients of its own, and float32 as wide as was asked."""
        stack = ExitStack()
        stack.enter_context(torch.no_grad())
        stack.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", torch.backends.cuda.matmul.allow_tf32)
        torch.backends.cuda.matmul.allow_tf32 = self.tf32
        return stack

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Move an array to the device, as the dtype of that name, by default its own; see `Backend.asarray`.

        Raises
        ------
        SettingsError
            For float64 on a device that lacks it.
        """
        if self.device.type == "mps" and (dtype or str(array.dtype)).endswith("float64"):
            raise SettingsError("dtype float64: Apple's GPUs lack it. Use float32, or another device.")
        # PyTorch warns of read-only memory, because it could write there. Nothing here ever does.
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            array = array.copy()
        return super().asarray(array, dtype)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        return np.asarray(array.cpu())

    def wait(self, state: TrainingState) -> None:
        """Return when all that was asked of the device so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        On NVIDIA's GPUs a step is recorded once as a CUDA graph, because asking for its operations one by one takes
        longer than they do. On the CPU a small network's tensors are lent to NumPy for the same reason.
        """
        if self.stand_in(state.layers, batch_size) is not self:
            run = self.lent.run_epoch
        else:
            run = self.recorded.run if self.records_steps else super().run_epoch
        return run(step, state, samples, order, learning_rates, batch_size)

    def stand_in(self, layers: Layers, batch_size: int) -> Backend:
        """Return NumPy's backend for small networks on the CPU, else this one."""
        lent = self.device.type == "cpu" and is_worth_lending(layers, batch_size)
        return self.lent.numpy if lent else self

    def release_recordings(self) -> None:
        """Drop what `run_epoch` keeps for the next epoch."""
        self.recorded.forget()
        self.lent.forget()

    def record(self, static: CapturedStep) -> Callable[[], None]:
        """Record a step as a CUDA graph."""
        with torch.cuda.device(self.device):
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    static.rewind()
                    static.run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # What other threads ask of the GPU meanwhile is their own affair.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                static.run()
        play: Callable[[], None] = graph.replay
        return play

    def transfers(self) -> AbstractContextManager[object]:
        """Return a context in which what is moved to the device travels beside the work that goes on there."""
        return super().transfers() if self.device.type != "cuda" else stream_aside(self.device)

    def free_memory(self) -> int | None:
        """Return the bytes of a GPU's memory that PyTorch could still take."""
        if self.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        # What PyTorch took earlier and does not use just now is its to use again.
        return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error means that there is too little memory; on the CPU PyTorch says so in words only."""
        said = ("not enough memory", "can't allocate memory")
        return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)

    def linear_algebra(self) -> str | None:
        """Return what computes the matrix products, and on the CPU its threads."""
        if self.device.type != "cpu":
            return "cuBLAS" if self.device.type == "cuda" else None
        library = "MKL" if torch.backends.mkl.is_available() else "BLAS"
        return f"{library}, {count_threads(torch.get_num_threads())}"

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return {"backend": self.name, "library": f"torch {torch.__version__}", "device": name}


@contextmanager
def stream_aside(device: torch.device) -> Iterator[None]:
    """Work on a stream of its own, and wait for it."""
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


def find_device(name: str | None) -> torch.device:
    """Return the device of that name.

    Raises
    ------
    SettingsError
        Where PyTorch has none, naming those that it has.
    """
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if name is None:
        name = next(kind for kind in ("cuda", "mps", "cpu") if counts[kind])
    kind, _, index = name.partition(":")
    if not counts.get(kind):
        here = ", ".join(kind for kind, count in counts.items() if count)
        hint = (
            " This installation of PyTorch was built without CUDA." if kind == "cuda" and not torch.version.cuda else ""
        )
        raise SettingsError(
            f"device {name!r}: PyTorch has only {here} here.{hint} `xpmlp backends` shows what there is."
        )
    number = device_number(name, index, counts[kind])
    return torch.device(kind, number) if kind == "cuda" else torch.device(kind)
