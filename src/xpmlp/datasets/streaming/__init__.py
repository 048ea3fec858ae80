"""Data larger than memory: read piece by piece, in every epoch anew."""

from .limit import Memory, parse_memory
from .rows import Piece, RowStream

__all__ = ["Memory", "Piece", "RowStream", "parse_memory"]
