"""Imported by Python at its start, if this folder is on PYTHONPATH: give CuPy an emulated device."""

import emulated_cuda

emulated_cuda.install()
