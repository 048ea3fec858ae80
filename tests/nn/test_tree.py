import numpy as np
import pytest

from xpmlp.nn.layers import Layer
from xpmlp.nn.tree import tree_map


def test_tree_map_applies_the_function_to_corresponding_arrays_of_every_network() -> None:
    first = (Layer(np.array([[1.0]]), np.array([[2.0]])), Layer(np.array([[3.0]]), np.array([[4.0]])))
    second = (Layer(np.array([[10.0]]), np.array([[20.0]])), Layer(np.array([[30.0]]), np.array([[40.0]])))
    result = tree_map(lambda a, b, c: a - b + c, first, second, first)
    assert [layer.weight.item() for layer in result] == [-8.0, -24.0]
    assert [layer.bias.item() for layer in result] == [-16.0, -32.0]
    assert all(isinstance(layer, Layer) for layer in result)


def test_networks_of_different_depth_are_refused() -> None:
    layer = Layer(np.zeros((2, 3)), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="shorter"):
        tree_map(np.add, (layer, layer), (layer,))
