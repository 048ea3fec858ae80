"""PyTorch on CPUs and GPUs, without autograd: the gradients are hand-derived."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Shaped

from xpmlp.backends.base import Backend
from xpmlp.backends.cuda_capture import exclusive_capture, take_eager_steps
from xpmlp.backends.devices import Device, device_number
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import DeviceStep
from xpmlp.errors import SettingsError
from xpmlp.nn.layers import Layers
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import State, Step
from xpmlp.nn.tree import tree_map
from xpmlp.threads import RUNS, count_cores, describe_threads, use_threads

from .namespace import TorchNamespace

WARM_UPS = 3  # before a capture, in which cuBLAS and others may not initialize anything


class TorchBackend(Backend):
    """PyTorch's tensors.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; by default a GPU if PyTorch has one, else the CPU.

    Raises
    ------
    SettingsError
        If PyTorch has no such device.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(TorchNamespace(), find_device(device))
        self.records_steps = self.device.type == "cuda"
        self.gathers_bytes = self.device.type == "cpu"
        self.recorded = CapturedEpoch(self.xp, functools.partial(capture, self.device))

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the devices that PyTorch can use, GPUs first."""
        gpus = [
            Device(f"cuda:{number}", torch.cuda.get_device_name(number), *reversed(torch.cuda.mem_get_info(number)))
            for number in range(torch.cuda.device_count())
        ]
        if torch.backends.mps.is_available():
            gpus.append(Device("mps", "Apple's GPU"))
        return (*gpus, Device("cpu", "processor"))

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Turn autograd off, and TF32 on or off as requested."""
        settings = torch.backends.cuda.matmul
        before = settings.allow_tf32
        settings.allow_tf32 = self.tf32
        try:
            with torch.no_grad():
                yield
        finally:
            settings.allow_tf32 = before

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Move an array to the device; see `Backend.asarray`.

        Raises
        ------
        SettingsError
            If the device lacks float64.
        """
        if self.device.type == "mps" and (dtype or str(array.dtype)).endswith("float64"):
            raise SettingsError("dtype float64: Apple's GPUs lack it. Use float32, or another device.")
        # PyTorch warns about read-only memory.
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            array = array.copy()
        if isinstance(array, torch.Tensor):
            array = array.detach()  # since 2.13, PyTorch warns of tensors of autograd
        return super().asarray(array, dtype)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        array = array.cpu().resolve_conj().resolve_neg()
        is_known = not array.is_floating_point() or array.dtype in (torch.float16, torch.float32, torch.float64)
        return np.asarray(array if is_known else array.float())  # such as bfloat16, which NumPy lacks

    def synchronize(self, state: State) -> None:
        """Block until queued device work finishes."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def run_epoch(
        self, step: Step, state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[State, Any]:
        """Take one step for each batch; see `Backend.run_epoch`.

        On NVIDIA GPUs a step is captured once as a CUDA graph and replayed, because launching its kernels one by one
        takes longer than they run. Elsewhere inference mode, which keeps no version counters, saves 5 to 10 % of a
        small network's epoch; its tensors are copied, because users could not pass them to autograd.
        """
        if self.records_steps:
            return self.recorded.run(step, state, samples, order, learning_rates, batch_size)
        with torch.inference_mode():
            result = super().run_epoch(step, state, samples, order, learning_rates, batch_size)
        return tree_map(torch.clone, result)

    def threads_for(self, layers: Layers, rows: int) -> AbstractContextManager[object]:
        """Return a context in which operations on the CPU run in the threads that were chosen, if any were."""
        threads = RUNS.current.get()
        return nullcontext() if threads is None or self.device.type != "cpu" else limit_threads(threads)

    @contextmanager
    def run_threads(self, layers: Layers, rows: int, threads: int | None) -> Iterator[int | None]:
        """Return a context for a run; see `Backend.run_threads`."""
        if self.device.type != "cpu":
            with super().run_threads(layers, rows, threads) as number:
                yield number
            return
        # No trial: on a busy machine PyTorch's threads cost a factor of two, not of a hundred.
        number = threads or RUNS.current.get() or min(torch.get_num_threads(), count_cores())
        with use_threads(number), limit_threads(number):
            yield number

    def release_recordings(self) -> None:
        """Release cached recordings."""
        self.recorded.release()

    @contextmanager
    def transfer_stream(self) -> Iterator[None]:
        """Return a context for another thread, in which copies run beside the computation; see `Backend`."""
        with self.scope():
            if self.device.type != "cuda":
                yield
            else:
                with torch.cuda.stream(self.copies):
                    yield
                self.copies.synchronize()

    @functools.cached_property
    def copies(self) -> Any:
        """The stream of all copies. PyTorch keeps freed memory for the stream that it was allocated on."""
        return torch.cuda.Stream(self.device)

    def free_memory(self) -> int | None:
        """Return the bytes of a GPU's memory that PyTorch can still allocate."""
        if self.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        # PyTorch reuses what it has reserved.
        return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error means that the device is out of memory; on the CPU only the message says so."""
        said = ("not enough memory", "can't allocate memory")
        return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in said)

    def linear_algebra(self) -> str | None:
        """Return the linear algebra library, and on the CPU its threads."""
        if self.device.type != "cpu":
            return "cuBLAS" if self.device.type == "cuda" else None
        library = "MKL" if torch.backends.mkl.is_available() else "BLAS"
        return f"{library}, {describe_threads(torch.get_num_threads())}"

    def describe(self) -> dict[str, str]:
        """Return the library and the device, for the record of a run."""
        described = super().describe()
        if self.device.type == "cuda":
            described["device"] = torch.cuda.get_device_name(self.device)
        return described


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Run this Python thread's operations in so many threads; PyTorch's number is each Python thread's own."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def capture(device: torch.device, static: DeviceStep) -> Callable[[], None]:
    """Capture a step as a CUDA graph, and return a function that replays it.

    A step that cannot be captured is taken eagerly, which is logged.
    """
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                static.rewind()
                static.run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # PyTorch's own default stream for captures belongs to the first GPU (its issue 87894).
            with exclusive_capture(), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                static.run()
        except Exception as error:  # noqa: BLE001 - whatever cannot be captured
            return take_eager_steps(static, TorchBackend.name, error)
    replay: Callable[[], None] = graph.replay
    return replay


def find_device(name: str | None) -> torch.device:
    """Return the device of that name.

    Raises
    ------
    SettingsError
        If PyTorch has no such device; the message names those that it has.
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
