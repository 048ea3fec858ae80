"""Trained models for use without this package: an ONNX graph, or one Python file that needs NumPy alone."""

from .onnx_graph import to_onnx
from .raw_input import RawColumns, raw_columns
from .script import to_script

__all__ = ["RawColumns", "raw_columns", "to_onnx", "to_script"]
