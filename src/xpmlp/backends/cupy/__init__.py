"""CuPy, on NVIDIA's GPUs."""
