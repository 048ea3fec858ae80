"""Compile the device and CuPy's kernels with the host's C++ compiler, and cache the results on disk."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMMON = ("-std=c++20", "-fPIC", "-w")
KERNEL = (*COMMON, "-O2", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=off")
PRELUDE = """#include <emulated_kernel.h>
#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
"""
SINGLE_THREAD, SYNCHRONIZES = 1, 2  # as in device.h
BOUNDS = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"


def compiler() -> str | None:
    """Return the C++ compiler, or None."""
    return os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")


def run(arguments: list[str]) -> str:
    """Run the compiler; return its errors."""
    done = subprocess.run([str(compiler()), *arguments], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def cupy_headers() -> Path:
    """Return the folder of the headers that CuPy's kernels include."""
    spec = importlib.util.find_spec("cupy")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "_core" / "include"


def include_options() -> list[str]:
    """Return the options for the folders of headers."""
    return [f"-I{HERE / 'include'}", f"-I{cupy_headers()}"]


def cache_folder(kind: str, sources: list[Path]) -> Path:
    """Return the folder for what is compiled from these sources."""
    digest = hashlib.sha256(" ".join([*KERNEL, str(compiler()), str(cupy_headers())]).encode())
    for path in [HERE / "build.py", *sorted(sources)]:
        digest.update(path.read_bytes())
    base = os.environ.get("EMULATED_CUDA_CACHE")
    parent = Path(base or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "emulated-cuda").expanduser()
    return parent / f"{kind}-{digest.hexdigest()[:16]}"


def device_libraries(cublas_symbols: list[str]) -> Path:
    """Return the folder with the libraries that replace NVIDIA's."""
    folder = cache_folder("device", [*HERE.glob("*.h"), *HERE.glob("*.cpp")])
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary)
        source = (HERE / "cublas.cpp").read_text()
        stubs = ['extern "C" int emu_unsupported_blas(const char*);'] + [
            f'extern "C" int {symbol}() {{ return emu_unsupported_blas("{symbol}"); }}'
            for symbol in cublas_symbols
            if not re.search(rf"\b{re.sub('^cublas[SD]', 'cublas##letter##', symbol)}\(|\b{symbol}\(", source)
        ]
        (made / "stubs.cpp").write_text("\n".join(stubs))
        (made / "nothing.cpp").write_text("")
        (made / "version").write_text("libcublas.so.13 { global: *; };")

        def link(name: str, *arguments: object) -> None:
            output = ("-o", str(made / name), f"-Wl,-soname,{name}")
            errors = run([*COMMON, "-O2", "-shared", *map(str, arguments), *output])
            if errors:
                raise RuntimeError(f"The emulated CUDA device does not compile:\n{errors}")

        device = ("-Wl,--no-as-needed", f"-L{made}", "-l:libcuda.so.1")
        link("libcuda.so.1", *sorted(set(HERE.glob("*.cpp")) - {HERE / "cublas.cpp"}), "-ldl")
        version = f"-Wl,--version-script={made / 'version'}"
        link("libcublas.so.13", HERE / "cublas.cpp", made / "stubs.cpp", f"-I{HERE}", version, *device)
        for name in ("libnvrtc.so.13", "libcublasLt.so.13"):
            link(name, made / "nothing.cpp", *device)
        for path in made.iterdir():
            path.replace(folder / path.name)
    (folder / "ready").touch()
    return folder


def kernel_folder() -> Path:
    """Return the folder for compiled kernels, with a precompiled header."""
    folder = cache_folder("kernels", list((HERE / "include").rglob("*.h")))
    if (folder / "ready").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:  # several processes may build it at once
        header = Path(name) / "prelude.h"
        header.write_text(PRELUDE)
        errors = run([*KERNEL, *include_options(), "-x", "c++-header", str(header), "-o", f"{header}.gch"])
        if errors:
            raise RuntimeError(f"CuPy's headers do not compile:\n{errors}")
        for path in (header, header.with_suffix(".h.gch")):
            path.replace(folder / path.name)
    (folder / "ready").touch()
    return folder


def kernel(folder: Path, source: str, expressions: list[str]) -> tuple[str, str, list[str]]:
    """Compile CUDA C++.

    Returns
    -------
    path
        Of the shared object; empty if it does not compile.
    errors
        Of the compiler.
    lowered
        The names of the template instances that `expressions` ask for.
    """
    lowered = [f"template_{i}_{hashlib.sha256(e.encode()).hexdigest()[:8]}" for i, e in enumerate(expressions)]
    if not source.strip():  # CuPy asks for the compiler's version in this way
        return "// emulated", "", lowered
    text = add_entries(source, expressions, lowered)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    if path.exists():
        return str(path), "", lowered
    with tempfile.TemporaryDirectory(dir=folder) as name:
        made = Path(name)
        (made / "kernel.cpp").write_text(text)
        prelude = ("-include", str(folder / "prelude.h"), *include_options())
        errors = run([*KERNEL, "-shared", *prelude, str(made / "kernel.cpp"), "-o", str(made / "kernel.so")])
        if errors:
            return "", errors, lowered
        (made / "kernel.cpp").replace(path.with_suffix(".cpp"))
        (made / "kernel.so").replace(path)
    return str(path), "", lowered


def add_entries(source: str, expressions: list[str], lowered: list[str]) -> str:
    """Return the source with an entry for each kernel, by which the device calls it."""
    shared = r"extern\s+__shared__\s+([^;\[]+?)\s*(\w+)\s*\[\s*\]\s*;"
    text = re.sub(shared, r"\1* \2 = static_cast<\1*>(emu_dynamic_shared);", source)
    if re.search(r"__sync|__shfl|__ballot|__all_sync|__any_sync", text):
        flags = SYNCHRONIZES
    elif "CUPY_FOR" in text and not re.search(r"\b(threadIdx|blockIdx|blockDim|gridDim)\b", text):
        flags = SINGLE_THREAD  # all elements are visited by CuPy's own loop
    else:
        flags = 0
    names = re.findall(rf'extern\s+"C"\s+__global__\s+{BOUNDS}void\s+{BOUNDS}(\w+)\s*\(', text)
    names += re.findall(r'extern\s+"C"\s*\{[^}]*?__global__\s+void\s+(\w+)\s*\(', text)
    entries = [f"EMU_KERNEL(emu_kernel_{name}, {flags}, {name})" for name in dict.fromkeys(names)]
    entries += [f"EMU_KERNEL(emu_kernel_{n}, {flags}, {e})" for e, n in zip(expressions, lowered, strict=True)]
    return text + "\n" + "\n".join(entries) + "\n"
