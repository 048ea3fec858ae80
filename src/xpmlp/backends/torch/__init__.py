"""PyTorch, on the CPU and on GPUs."""
