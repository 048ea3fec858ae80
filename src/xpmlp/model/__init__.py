"""A trained model: the network, how its inputs are prepared, and the file that holds both."""

from .image_preprocessor import ImagePreprocessor
from .model import Model, ModelError
from .model_file import load_model, model_to_bytes, save_model
from .table_schema import Column, TableSchema

__all__ = [
    "Column",
    "ImagePreprocessor",
    "Model",
    "ModelError",
    "TableSchema",
    "load_model",
    "model_to_bytes",
    "save_model",
]
