"""A step that could not be repeated by its calls alone is refused, and nothing of it goes unseen."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp.backends.engine import NotTraceableError, Tracer, make_plan

UNSEEN: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "item": lambda a: a.item(),
    "tolist": lambda a: a.tolist(),
    "index": lambda a: a[()] if a.ndim == 0 else a[0],
    "fill": lambda a: a.fill(1.0),
    "copyto": lambda a: np.copyto(a, 1.0),
    "out": lambda a: np.add(a, 1.0, out=a),
    "where": lambda a: np.add(a, 1.0, where=a > 0.0),
    "copy": lambda a: a.copy() + 1.0,
    "modf": np.modf,
}


@pytest.mark.parametrize("look", UNSEEN)
def test_what_is_decided_or_written_unseen_is_refused(look: str) -> None:
    with pytest.raises(NotTraceableError):
        UNSEEN[look](Tracer().trace(np.array(0.5)))


def test_writing_to_given_positions_is_refused() -> None:
    traced = Tracer().trace(np.zeros((3, 3)))
    with pytest.raises(NotTraceableError):
        traced[np.array([0, 2])] = 1.0


def test_a_number_takes_the_dtype_of_the_array_beside_it() -> None:
    tracer, buffer = Tracer(), np.zeros(3, np.float32)
    traced = tracer.trace(buffer)
    traced[...] = np.maximum((traced + 0.1) * np.float32(2.0) - 1, 0.0)
    plan = make_plan(tracer.finish())
    buffer[...] = [-1.0, 2.0, np.nan]
    plan.execute()
    expected = np.maximum((np.array([-1, 2, np.nan], np.float32) + 0.1) * np.float32(2.0) - 1, 0.0)
    np.testing.assert_array_equal(buffer, expected, strict=True)


def test_a_trace_is_the_calls_in_their_order() -> None:
    tracer = Tracer()
    traced = tracer.trace(np.zeros(3))
    assert np.tanh(traced + 1.0).shape == (3,)
    traced[...] = traced * 2.0
    trace = tracer.finish()
    assert [op.function for op in trace.ops] == [np.add, np.tanh, np.multiply, np.copyto]
    assert len(trace.inputs) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [2, 3, 7, 8, 10])
def test_reducing_a_short_axis_gives_the_same_bits(length: int, dtype: Any) -> None:
    x = np.random.default_rng(0).normal(size=(40, 500, length)).astype(dtype)
    for function in (np.sum, np.max):
        output = np.zeros(x.shape[:-1], dtype)
        tracer = Tracer()
        output_of_trace, x_of_trace = tracer.trace(output), tracer.trace(x)
        output_of_trace[...] = function(x_of_trace, axis=-1)
        trace = tracer.finish()
        assert trace.ops[0].function in (np.add.reduce, np.maximum.reduce)  # as kernels know it
        plan = make_plan(trace)
        output[...] = 0.0
        plan.execute()
        np.testing.assert_array_equal(plan.buffer_for(output), function(x, axis=-1))
