"""An emulated CUDA device for CuPy, on machines without a GPU.

``tests/emulated_cuda/README.md`` says what is emulated, and what is not. Tests read the counters.
"""

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import os
import platform
import sys
import threading
from pathlib import Path
from typing import Any

from . import build, patch

CUPY_VERSION = "14.2.0"
KEPT = ("cudaRuntimeGetVersion", "cudaGetErrorName", "cudaGetErrorString")  # they need no device


class EmulationError(RuntimeError):
    """The emulation does not fit this machine, or what is installed on it."""


class State:
    """Objects that must live as long as the process."""

    device: Any = None
    kept: list[object] = []  # noqa: RUF012 - never an instance


class CupyFinder(importlib.abc.MetaPathFinder):
    """Starts the emulated device when CuPy is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Wrap CuPy's loader; leave other modules to other finders."""
        if name != "cupy":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            device = start_device()
            execute(module)
            replace_sorting()
            if os.environ.get("EMULATED_CUDA_POISON", "1") == "1":
                poison_pools(device)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Start the emulated device when CuPy is imported."""
    if State.device is None and not any(isinstance(finder, CupyFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, CupyFinder())


def check_environment() -> None:
    """Check that the emulation fits this machine.

    Raises
    ------
    EmulationError
        If it does not, with a remedy.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EmulationError("The emulated CUDA device patches machine code: it needs Linux on x86-64.")
    if build.compiler() is None:
        raise EmulationError("The emulated CUDA device needs a C++ compiler: apt-get install g++")
    try:
        version = importlib.metadata.version("cupy-cuda13x")
    except importlib.metadata.PackageNotFoundError:
        version = "missing"
    if version != CUPY_VERSION:
        raise EmulationError(
            f"The emulated CUDA device fits cupy-cuda13x {CUPY_VERSION}, which is {version} here. "
            f"Run: pip install cupy-cuda13x=={CUPY_VERSION}"
        )


def counts() -> dict[str, int]:
    """Return how often each event has happened since `reset_counts`."""
    lines = State.device.emu_counts().decode().splitlines() if State.device else []
    return {event: int(number) for event, _, number in (line.rpartition("=") for line in lines)}


def reset_counts() -> None:
    """Set all counters to zero."""
    if State.device:
        State.device.emu_reset_counts()


def start_device() -> Any:
    """Load the libraries that replace NVIDIA's, and redirect the runtime that is linked into CuPy."""
    check_environment()
    blas_path = extension("cupy_backends.cuda.libs.cublas")
    blas_symbols = sorted(name for name, *_ in patch.symbols(blas_path, ".dynsym") if name.startswith("cublas"))
    folder, kernels = build.device_libraries(blas_symbols), build.kernel_folder()
    os.environ["CUPY_ACCELERATORS"] = ""  # CUB is compiled for GPUs
    os.environ["CUPY_CACHE_DIR"] = str(kernels / "cupy")
    os.environ["CUPY_CACHE_IN_MEMORY"] = "0"
    # The last two are only looked for; their functions are in the first.
    names = ("libcuda.so.1", "libcublas.so.13", "libnvrtc.so.13", "libcublasLt.so.13")
    device, blas, *_ = (ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL) for name in names)
    device.emu_counts.restype = ctypes.c_char_p
    compiler = COMPILER(functools.partial(compile_program, device, kernels))
    State.device = device
    State.kept.append(compiler)
    device.emu_configure(
        int(os.environ.get("EMULATED_CUDA_ORDER", "eager") == "lazy"),
        int(os.environ.get("EMULATED_CUDA_STRICT", "0") == "1"),
        ctypes.c_size_t(int(float(os.environ.get("EMULATED_CUDA_MEMORY", 4 * 2**30)))),
        os.environ.get("EMULATED_CUDA_TRACE", "").encode(),
        compiler,
    )
    use_numpys_blas(blas)
    runtime = importlib.import_module("cupy_backends.cuda.api.runtime")
    redirect_runtime(Path(str(runtime.__file__)), device)
    return device


def extension(module: str) -> Path:
    """Return the file of an extension module, without importing it."""
    package, _, name = module.rpartition(".")
    top = importlib.util.find_spec(package.split(".")[0])
    assert top is not None
    assert top.origin is not None
    (path,) = Path(top.origin).parent.joinpath(*package.split(".")[1:]).glob(f"{name}.*.so")
    return path


def redirect_runtime(path: Path, device: Any) -> None:
    """Redirect each function of the CUDA runtime to its emulation, or to one that reports it as missing."""
    functions = [s for s in patch.symbols(path, ".symtab") if s.name.startswith("cuda") and s.size >= patch.JUMP_BYTES]
    if not any(function.name == "cudaMalloc" for function in functions):
        raise EmulationError(f"{path} has no symbol table.")
    base = patch.load_address(path)
    for function in functions:
        if function.name in KEPT:
            continue
        emulated = getattr(device, f"rt_{function.name}", None)
        argument = None
        if emulated is None:
            emulated = device.emu_unsupported
            argument = ctypes.create_string_buffer(function.name.encode())
            State.kept.append(argument)
        patch.write_jump(base + function.address, emulated, argument)


COMPILER = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)
)


def compile_program(device: Any, folder: Path, program: int, source: bytes, count: int, expressions: Any) -> int:
    """Compile a kernel for `nvrtcCompileProgram`; return 0 on success."""
    image, log, lowered = build.kernel(folder, source.decode(), [expressions[i].decode() for i in range(count)])
    names = (ctypes.c_char_p * max(1, len(lowered)))(*(name.encode() for name in lowered))
    device.emu_set_program(ctypes.c_void_p(program), image.encode(), log.encode(), len(lowered), names)
    return int(not image)


def use_numpys_blas(blas: Any) -> None:
    """Compute matrix products with the OpenBLAS of NumPy's wheel, if there is one."""
    importlib.import_module("numpy")
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "openblas64" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        functions = [getattr(library, f"scipy_cblas_{letter}gemm64_", None) for letter in "sd"]
        if all(functions):
            blas.emu_use_blas(*functions)
            return


def replace_sorting() -> None:
    """Sort with NumPy: Thrust is compiled for GPUs."""
    numpy, cupy = importlib.import_module("numpy"), importlib.import_module("cupy")
    thrust: Any = importlib.import_module("cupy.cuda.thrust")

    def view(dtype: Any, address: int, shape: tuple[int, ...]) -> Any:
        cupy.cuda.get_current_stream().synchronize()
        size = numpy.dtype(dtype).itemsize * int(numpy.prod(shape))
        return numpy.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)

    def sort(dtype: Any, data: int, keys: int, shape: tuple[int, ...]) -> None:
        view(dtype, data, shape).sort(axis=-1, kind="stable")

    def argsort(dtype: Any, indices: int, data: int, keys: int, shape: tuple[int, ...]) -> None:
        values = view(dtype, data, shape)
        order = values.argsort(axis=-1, kind="stable")
        view("int64", indices, shape)[...] = order
        values[...] = numpy.take_along_axis(values, order, -1)

    def lexsort(dtype: Any, indices: int, keys: int, keys_count: int, length: int) -> None:
        view("int64", indices, (length,))[...] = numpy.lexsort(view(dtype, keys, (keys_count, length)))

    thrust.sort, thrust.argsort, thrust.lexsort = sort, argsort, lexsort


def poison_pools(device: Any) -> None:
    """Fill blocks of CuPy's memory pools with NaN on allocation and on release, in all threads started from now on."""
    cupy: Any = importlib.import_module("cupy")

    class Poison(cupy.cuda.MemoryHook):  # type: ignore[misc]
        name = "emulated_cuda"

        def fill(self, identity: int, address: int, size: int, is_allocation: bool) -> None:
            if address:
                stream = ctypes.c_void_p(cupy.cuda.get_current_stream().ptr)
                where = ctypes.c_void_p(address), ctypes.c_size_t(size)
                device.emu_poison(ctypes.c_uint64(identity), *where, stream, int(is_allocation))

        def malloc_postprocess(self, *, mem_ptr: int, mem_size: int, pmem_id: int, **_: object) -> None:
            self.fill(pmem_id, mem_ptr, mem_size, True)

        def free_preprocess(self, *, mem_ptr: int, mem_size: int, pmem_id: int, **_: object) -> None:
            self.fill(pmem_id, mem_ptr, mem_size, False)

    hook = Poison()
    thread_class: Any = threading.Thread
    run = thread_class.run

    def run_with_hook(thread: threading.Thread) -> None:
        with hook:
            run(thread)

    def leave() -> None:
        with contextlib.suppress(KeyError):  # in a thread that never entered
            hook.__exit__(None, None, None)

    hook.__enter__()
    thread_class.run = run_with_hook
    atexit.register(leave)
