"""A look at data before training on it: what ``xpmlp inspect`` shows."""

from .inspection import inspect_data

__all__ = ["inspect_data"]
