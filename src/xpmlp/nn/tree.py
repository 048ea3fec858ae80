"""Trees of arrays: nested tuples, such as a network's layers or an optimizer's state."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

Tree = TypeVar("Tree")


def tree_map(function: Callable[..., Any], tree: Tree, *others: Any) -> Tree:
    """Apply `function` to the corresponding arrays of several trees, and return a tree of the results.

    ``tree_map(f, p, g)`` has the structure of ``p``, and each of its arrays is ``f(array of p, array of g)``.
    """
    if not isinstance(tree, tuple):
        return cast(Tree, function(tree, *others))
    branches = [tree_map(function, *parts) for parts in zip(tree, *others, strict=True)]
    return cast(Tree, type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches))
