"""Sweeps: many settings tried on one dataset, whole populations at a time.

Optuna proposes settings (`space` says which there are), `trials` trains all that it has proposed at once, as a
population (`xpmlp.training.population`), `study` keeps the account, in memory or in a file from which a sweep can go
on, and `search` is the loop.
"""

from .search import Sweep, sweep
from .space import Range, Space, default_space, parse_space
from .trials import Trial

__all__ = ["Range", "Space", "Sweep", "Trial", "default_space", "parse_space", "sweep"]
