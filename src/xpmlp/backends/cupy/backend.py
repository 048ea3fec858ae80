"""CuPy, on NVIDIA GPUs: a step is written as a few kernels, captured as a CUDA graph, and replayed for each batch."""

import functools
import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, ClassVar

import array_api_compat.cupy
import cupy
import numpy as np
from cupy.cuda import runtime
from cupy_backends.cuda.libs.cublas import CUBLASError
from jaxtyping import Shaped

from xpmlp.backends.base import Backend
from xpmlp.backends.cuda_capture import exclusive_capture, take_eager_steps
from xpmlp.backends.devices import Device, device_number
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import DeviceStep
from xpmlp.errors import BackendError, SettingsError
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import State, Step

from .kernels import compile_step
from .resources import DeviceResources, thread_resources

logger = logging.getLogger(__name__)

CUDA_OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation
CUBLAS_OUT_OF_MEMORY = 3  # CUBLAS_STATUS_ALLOC_FAILED
WARM_UPS = 2  # before a capture: they compile CuPy's kernels, and allocate the memory that the capture reuses


class CupyBackend(Backend):
    """CuPy arrays.

    Every thread computes on a stream of its own, because only such a stream can be captured.

    Parameters
    ----------
    device
        ``"cuda"`` or ``"cuda:1"``; by default the first GPU.

    Raises
    ------
    BackendError
        If CuPy finds no GPU, or no driver for it.
    SettingsError
        If there is no such device.
    """

    name: ClassVar[str] = "cupy"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(array_api_compat.cupy, find_device(device))

    @staticmethod
    def name_of(device: Any) -> str:
        """Return the name of a device as `load_backend` takes it."""
        return f"cuda:{device.id}"

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the GPUs that CuPy can use."""
        devices = []
        for number in range(count_devices()):
            free, total = cupy.cuda.Device(number).mem_info
            devices.append(Device(f"cuda:{number}", device_description(number), total, free))
        return tuple(devices)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Use this device and this thread's stream; synchronize with the current stream before, with ours after."""
        stream = self.resources.stream
        with self.device:
            cupy.cuda.get_current_stream().synchronize()
            try:
                with stream:
                    yield
            finally:
                stream.synchronize()

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Move an array to the device; see `Backend.asarray`."""
        with self.device:
            return cupy.asarray(array, dtype=dtype)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        return np.asarray(cupy.asnumpy(array))

    def synchronize(self, state: State) -> None:
        """Block until queued device work finishes."""
        self.resources.stream.synchronize()

    @property
    def resources(self) -> DeviceResources:
        """This thread's streams on the device."""
        return thread_resources(self.device)

    @functools.cached_property
    def recorded(self) -> CapturedEpoch | None:
        """The captured steps; None if cuBLAS cannot be captured here, which is logged."""
        try:
            module = importlib.import_module(".cublas", __package__)
            self.resources.cublas  # noqa: B018 - whether there can be one
        except Exception as error:  # noqa: BLE001 - the bindings and the libraries below them fail in ways of their own
            remedy = "" if isinstance(error, MemoryError) else f" Run: pip install {CUBLAS_PACKAGES[cuda_version()]}"
            warn_of_eager_steps(f"{type(error).__name__}: {error}".rstrip("."), remedy)
            return None
        namespace = module.CapturableNamespace(self.device, tf32=self.tf32)
        return CapturedEpoch(namespace, functools.partial(capture, self.device))

    @property
    def records_steps(self) -> bool:  # type: ignore[override]
        """Whether steps are captured."""
        return self.recorded is not None

    def run_epoch(
        self, step: Step, state: State, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[State, Any]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        run = super().run_epoch if self.recorded is None else self.recorded.run
        return run(step, state, samples, order, learning_rates, batch_size)

    def release_recordings(self) -> None:
        """Release this thread's captured steps and their memory."""
        if self.recorded is not None:
            self.recorded.release()

    @contextmanager
    def copy_on(self, stream: Any) -> Iterator[None]:
        """Use this device and a stream, and synchronize it in the end."""
        with self.device, stream:
            yield
            stream.synchronize()

    def transfer_stream(self) -> AbstractContextManager[object]:
        """Return a context for another thread, in which copies run beside the computation; see `Backend`."""
        return self.copy_on(self.resources.transfer_stream)

    def free_memory(self) -> int | None:
        """Return the bytes of the GPU's memory that CuPy can still allocate; its pool is the captures' pool, too."""
        with self.device:
            free, _ = self.device.mem_info
            return int(free + cupy.get_default_memory_pool().free_bytes())

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error means that the device is out of memory."""
        return (
            isinstance(error, MemoryError)  # of which CuPy's own is one
            or (isinstance(error, runtime.CUDARuntimeError) and error.status == CUDA_OUT_OF_MEMORY)
            or (isinstance(error, CUBLASError) and error.status == CUBLAS_OUT_OF_MEMORY)
        )

    def linear_algebra(self) -> str | None:
        """Return the linear algebra library, and whether steps are captured."""
        return "cuBLAS" + ("" if self.recorded is None else ", steps recorded")

    def describe(self) -> dict[str, str]:
        """Return the library and the device, for the record of a run."""
        recorded = "" if self.recorded is None else ", steps recorded as CUDA graphs"
        library = f"cupy {cupy.__version__}{recorded}"
        return super().describe() | {"library": library, "device": device_description(self.device.id)}


def capture(device: Any, static: DeviceStep) -> Callable[[], None]:
    """Capture a step as a CUDA graph, and return a function that replays it.

    A step that cannot be captured is taken eagerly, which is logged.
    """
    run = compile_step(static)
    stream = thread_resources(device).stream
    # What the calls of a step compute lies in free blocks of this pool, which no other array may use as long as the
    # step can be replayed. They come from CuPy's own pool and return to it.
    pool = cupy.cuda.MemoryPool(cupy.cuda.get_allocator())
    with cupy.cuda.using_allocator(pool.malloc):
        if run is None:
            run = static.run
            for _ in range(WARM_UPS):
                static.rewind()
                run()
            # A spare block: the pool may hand out its blocks in another order, and then lack one during the capture.
            with suppress(MemoryError):
                pool.malloc(pool.total_bytes() + 1)
        try:
            with exclusive_capture():
                graph = capture_graph(stream, run)
        except Exception as error:  # noqa: BLE001 - whatever cannot be captured
            return take_eager_steps(static, CupyBackend.name, error)
    graph.upload(stream)

    def replay(_keep_alive: object = (run, pool)) -> None:  # the graph computes in their memory
        graph.launch(stream)

    return replay


def capture_graph(stream: Any, work: Callable[[], None]) -> Any:
    """Return the graph of the work on a stream."""
    stream.begin_capture()
    try:
        work()
    except BaseException:
        with suppress(runtime.CUDARuntimeError):  # that the capture is invalid says less than the first error
            stream.end_capture()
        raise
    return stream.end_capture()


# Beside CuPy itself: the bindings, and cuBLAS for those who do not have the CUDA toolkit.
CUBLAS_PACKAGES = {12: "nvmath-python nvidia-cublas-cu12", 13: "nvmath-python nvidia-cublas"}


def cuda_version() -> int:
    """Return the major version of CUDA that CuPy was built for."""
    return int(runtime.runtimeGetVersion()) // 1000


@functools.cache
def warn_of_eager_steps(reason: str, remedy: str) -> None:
    """Log, once in a process, that steps are not captured."""
    logger.warning(
        "backend cupy: steps are not captured, which makes them several times slower, because cuBLAS cannot be used "
        "through nvmath-python (%s).%s",
        reason,
        remedy,
    )


def find_device(name: str | None) -> Any:
    """Return the device of that name."""
    kind, _, index = (name or "cuda").partition(":")
    if kind != "cuda":
        raise SettingsError(f"device {name!r}: CuPy has only cuda. Use another backend, such as numpy, torch or jax.")
    count = count_devices()
    return cupy.cuda.Device(device_number(name or "cuda", index, count))


def count_devices() -> int:
    """Return the number of GPUs, at least one.

    Raises
    ------
    BackendError
        If there is none, or CuPy cannot use it.
    """
    try:
        count: int = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        built_for = cuda_version()
        older = ' For an older driver, install the older build: pip install "xpmlp[cuda12]".' if built_for > 12 else ""
        raise BackendError(
            f"CuPy is installed, but finds no GPU that it can use ({error}). It is built for CUDA {built_for}: it "
            f"needs an NVIDIA GPU with a driver for that, which nvidia-smi shows.{older} Without one, use another "
            "backend, such as numpy."
        ) from error
    if count == 0:
        raise BackendError("CuPy is installed, but there is no NVIDIA GPU. Use another backend, such as numpy.")
    return count


def device_description(number: int) -> str:
    """Return a device's name, as its vendor gives it."""
    name: bytes = runtime.getDeviceProperties(number)["name"]
    return name.decode()
