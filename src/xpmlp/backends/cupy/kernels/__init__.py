"""Kernels for a step: the engine's second executor, which writes CUDA C++ where NumPy's plan makes calls.

CuPy launches a kernel for every array call, some fifty to a hundred in a step, and on a small network a GPU's time is
their number. So the step is traced on NumPy arrays of the same shapes, without its data, and written anew:

1. `calls` describes each op of the trace in the terms of a kernel: what one element of the result is computed from.
2. `fusion` puts calls whose elements need nothing but each other into one group: elementwise chains, with reductions
   along the last axis. Groups that do not wait for each other share a kernel.
3. `source` writes the groups as CUDA C++.
4. `program` compiles that, calls cuBLAS for the products, and compares the results with the step's own.

A step that cannot be written so, because it uses an unknown function or layout, is captured call by call as before.
"""

from .program import compile_step

__all__ = ["compile_step"]
