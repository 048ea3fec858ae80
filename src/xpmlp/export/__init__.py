"""Trained models for use without this package: an ONNX graph, or a Python file that needs NumPy only."""

from .onnx import to_onnx
from .script import to_script

__all__ = ["to_onnx", "to_script"]
