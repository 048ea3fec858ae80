"""Called directly, PyTorch's functions return what they return through array_api_compat."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import array_api_compat.torch as compat  # noqa: E402

from xpmlp.backends.torch.namespace import TorchNamespace  # noqa: E402

DIRECT = TorchNamespace()
A = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 4, 3)))
B = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 4, 3)))
POSITIVE = A * A + 0.1


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("abs", (A,), {}),
        ("exp", (A,), {}),
        ("isfinite", (A / torch.tensor([0.0, 1.0, 2.0]),), {}),
        ("log", (POSITIVE,), {}),
        ("log1p", (POSITIVE,), {}),
        ("expm1", (A,), {}),
        ("sign", (A,), {}),
        ("minimum", (A, B), {}),
        ("minimum", (A, 0.0), {}),
        ("sqrt", (POSITIVE,), {}),
        ("tanh", (A,), {}),
        ("matmul", (A, B.mT), {}),
        ("where", (A > 0.0, A, B), {}),
        ("where", (A > 0.0, 1.0, B), {}),
        ("astype", (A > 0.0, torch.float32), {}),
        ("matrix_transpose", (A,), {}),
        ("max", (A,), {}),
        ("max", (A,), {"axis": -1, "keepdims": True}),
        ("max", (A,), {"axis": (-2, -1)}),
        ("maximum", (A, B), {}),
        ("maximum", (A, 0.0), {}),
        ("maximum", (A * float("nan"), 0.0), {}),
        ("sum", (A,), {}),
        ("sum", (A,), {"axis": -2, "keepdims": True}),
        ("sum", (A,), {"axis": (-2, -1), "keepdims": True}),
        ("take", (A, torch.tensor([3, 0, 0])), {"axis": -2}),
        ("vecdot", (A, B), {}),
        ("vecdot", (A, B[0]), {"axis": -1}),
        ("stack", ([A, B],), {"axis": -1}),
    ],
)
def test_it_is_what_the_standard_says(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    result = getattr(DIRECT, name)(*arguments, **options)
    expected = getattr(compat, name)(*arguments, **options)
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.numpy(), expected.numpy(), rtol=1e-14, atol=1e-14)
