"""CuPy, on NVIDIA's GPUs: a step is recorded as a CUDA graph."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import array_api_compat.cupy
import cupy
import numpy as np
from cupy.cuda import runtime
from jaxtyping import Shaped

from xpmlp.backends.base import Backend
from xpmlp.backends.devices import Device, device_number
from xpmlp.backends.engine.captured_epoch import CapturedEpoch
from xpmlp.backends.engine.captured_step import CapturedStep
from xpmlp.errors import BackendError, SettingsError
from xpmlp.nn.samples import Samples
from xpmlp.nn.step import Step, TrainingState

logger = logging.getLogger(__name__)

# CUDA's own number for it, which CuPy does not name: what is asked for beside CuPy's pools reports so.
OUT_OF_MEMORY = 2
WARM_UPS = 2  # before a recording: kernels are compiled, and memory is taken that the recording then finds


class CupyBackend(Backend):
    """CuPy's arrays.

    All work is done on a stream of its own, because only such a stream can be recorded.

    Parameters
    ----------
    device
        ``"cuda"`` or ``"cuda:1"``; None for the first GPU.

    Raises
    ------
    BackendError
        Where CuPy finds no GPU, or no driver for it.
    SettingsError
        Where there is no such device.
    """

    name: ClassVar[str] = "cupy"

    def __init__(self, device: str | None = None) -> None:
        super().__init__(array_api_compat.cupy, find_device(device))
        with self.device:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            # One for all transfers: what CuPy's pool has given to one stream, it gives to that stream again.
            self.aside = cupy.cuda.Stream(non_blocking=True)
        self.memory = cupy.cuda.MemoryPool()

    @property
    def device_name(self) -> str:
        """The device as `load_backend` takes it."""
        return f"cuda:{self.device.id}"

    @staticmethod
    def device_name_of(array: Any) -> str:
        """Return the name of the device that an array lives on."""
        return f"cuda:{array.device.id}"

    @classmethod
    def list_devices(cls) -> tuple[Device, ...]:
        """Return the GPUs that CuPy could compute on."""
        devices = []
        for number in range(count_devices()):
            free, total = cupy.cuda.Device(number).mem_info
            devices.append(Device(f"cuda:{number}", device_description(number), total, free))
        return tuple(devices)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Work on this device and stream; what is there already is waited for, and so is what is done here."""
        with self.device:
            cupy.cuda.get_current_stream().synchronize()
            try:
                with self.stream:
                    yield
            finally:
                self.stream.synchronize()

    def asarray(self, array: Shaped[Any, "..."], dtype: str | None = None) -> Any:
        """Move an array to the device, as the dtype of that name, by default its own; see `Backend.asarray`."""
        with self.device:
            return cupy.asarray(array, dtype=dtype)

    def to_numpy(self, array: Any) -> Shaped[np.ndarray, "..."]:
        """Move an array of the device to the host."""
        return np.asarray(cupy.asnumpy(array))

    def synchronize(self, state: TrainingState) -> None:
        """Return when all that was asked of the device so far is done."""
        self.stream.synchronize()

    @functools.cached_property
    def recorded(self) -> CapturedEpoch | None:
        """What records steps; None where that is not possible here, which is logged."""
        try:
            from .cublas import RecordableNamespace

            with self.device:
                namespace = RecordableNamespace(self.stream, tf32=self.tf32)
        except Exception as error:  # noqa: BLE001 - the bindings and the library below them fail in ways of their own
            warn_of_eager_steps(str(error))
            return None
        return CapturedEpoch(namespace, self.record)

    @property
    def records_steps(self) -> bool:  # type: ignore[override]
        """Whether a step is recorded with the places in memory of what it reads."""
        return self.recorded is not None

    def run_epoch(
        self, step: Step, state: TrainingState, samples: Samples, order: Any, learning_rates: Any, batch_size: int
    ) -> tuple[TrainingState, Any]:
        """Take one step for each batch; see `Backend.run_epoch`."""
        run = super().run_epoch if self.recorded is None else self.recorded.run
        return run(step, state, samples, order, learning_rates, batch_size)

    def release_recordings(self) -> None:
        """Drop what `run_epoch` keeps for the next epoch."""
        if self.recorded is not None:
            self.recorded.forget()

    def record(self, static: CapturedStep) -> Callable[[], None]:
        """Record a step as a CUDA graph.

        The graph computes in memory from a pool that nothing else uses: what a recording has given back must not
        become another array's while the graph may be played.
        """
        with cupy.cuda.using_allocator(self.memory.malloc):
            for _ in range(WARM_UPS):
                static.rewind()
                static.run()
            self.stream.begin_capture()
            try:
                static.run()
            except BaseException:
                # The stream must not stay as it is; that the recording is spoiled says less than what spoiled it.
                with contextlib.suppress(runtime.CUDARuntimeError):
                    self.stream.end_capture()
                raise
            graph = self.stream.end_capture()
        graph.upload(self.stream)

        def play() -> None:
            graph.launch(self.stream)

        return play

    @contextmanager
    def transfer_stream(self) -> Iterator[None]:
        """Return a context for another thread, in which copies run beside the computation; see `Backend`."""

        with self.device, self.aside:
            yield
            self.aside.synchronize()

    def free_memory(self) -> int | None:
        """Return the bytes of the GPU's memory that CuPy could still take."""
        with self.device:
            free, _ = self.device.mem_info
            return int(free + cupy.get_default_memory_pool().free_bytes())

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Tell whether an error means that there is too little memory."""
        return isinstance(error, MemoryError) or (  # of which CuPy's own is one
            isinstance(error, runtime.CUDARuntimeError) and error.status == OUT_OF_MEMORY
        )

    def linear_algebra(self) -> str | None:
        """Return what computes the matrix products, and how."""
        return "cuBLAS" + ("" if self.recorded is None else ", steps recorded")

    def describe(self) -> dict[str, str]:
        """Return what a record of a run should say of the library and the device."""
        recorded = "" if self.recorded is None else ", steps recorded as CUDA graphs"
        return {
            "backend": self.name,
            "library": f"cupy {cupy.__version__}{recorded}",
            "device": device_description(self.device.id),
        }


@functools.cache
def warn_of_eager_steps(reason: str) -> None:
    """Say, once in a process, that steps are not recorded, and why."""
    logger.warning(
        "backend cupy: steps are not recorded, which makes them several times slower, because cuBLAS cannot be "
        'reached through nvmath-python (%s). Run: pip install "nvmath-python[cu%s]"',
        reason,
        runtime.runtimeGetVersion() // 1000,
    )


def find_device(name: str | None) -> Any:
    """Return the device of that name."""
    kind, _, index = (name or "cuda").partition(":")
    if kind != "cuda":
        raise SettingsError(f"device {name!r}: CuPy has only cuda. Use another backend, such as numpy, torch or jax.")
    count = count_devices()
    return cupy.cuda.Device(device_number(name or "cuda", index, count))


def count_devices() -> int:
    """Return how many GPUs there are, at least one.

    Raises
    ------
    BackendError
        Where there is none, or CuPy cannot reach it.
    """
    try:
        count: int = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        built_for = runtime.runtimeGetVersion() // 1000
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
    """Return the name that the maker gave a device."""
    name: bytes = runtime.getDeviceProperties(number)["name"]
    return name.decode()
