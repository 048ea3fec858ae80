"""A trained model: the network, how inputs are prepared for it, and the file that holds both."""

from .image_preprocessor import ImagePreprocessor
from .model import Model, ModelError
from .model_file import load_model, model_to_bytes, save_model
from .table_schema import TableSchema

__all__ = [
    "ImagePreprocessor",
    "Model",
    "ModelError",
    "TableSchema",
    "load_model",
    "model_to_bytes",
    "save_model",
]
