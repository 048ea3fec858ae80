"""Datasets: a name or a path in, host arrays out."""

from .dataset import ByteSplit, Dataset, Provenance, Split, class_indices, one_hot
from .digits import load_digits
from .idx import read_idx
from .idx_folder import load_idx_folder
from .load import load_dataset
from .mnist import load_mnist
from .tables.loading import NAMED_TABLES, load_table
from .tables.options import TableOptions

__all__ = [
    "NAMED_TABLES",
    "ByteSplit",
    "Dataset",
    "Provenance",
    "Split",
    "TableOptions",
    "class_indices",
    "load_dataset",
    "load_digits",
    "load_idx_folder",
    "load_mnist",
    "load_table",
    "one_hot",
    "read_idx",
]
