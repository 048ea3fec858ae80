"""Many networks of one architecture, trained at once along the leading axes ``(groups, models)``.

`train_population` takes a list of `Member`, each with its own initial weights, learning rates and other settings, rows,
and rule for stopping, and trains each to what `fit` would have made of it alone. Members that share a `Rows` object
form a group, whose batches are gathered once: the candidates of a search on one fold, for example.

A member that stops leaves with the weights it has then. Its place in the arrays goes on being computed until so many
are done that the rest is worth moving closer together; no member's numbers depend on another's.
"""

from .member import Member, Rows
from .step import with_largest_norm
from .train import train_population
from .widths import architecture, shapes_of, train_widths

__all__ = [
    "Member",
    "Rows",
    "architecture",
    "shapes_of",
    "train_population",
    "train_widths",
    "with_largest_norm",
]
