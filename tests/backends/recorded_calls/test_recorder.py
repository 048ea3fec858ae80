"""A step that could not be repeated by its calls alone is not recorded, and none of it goes unseen."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp.backends.recorded_calls import NotRecordableError, Recorder, make_programs
from xpmlp.backends.recorded_calls.program import leave_out_unused

OUT_OF_SIGHT: dict[str, Callable[[Any], Any]] = {
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


@pytest.mark.parametrize("look", OUT_OF_SIGHT)
def test_what_is_decided_or_written_out_of_sight_is_refused(look: str) -> None:
    with pytest.raises(NotRecordableError):
        OUT_OF_SIGHT[look](Recorder().watch(np.array(0.5)))


def test_a_number_takes_part_in_the_dtype_of_the_array_beside_it() -> None:
    recorder = Recorder()
    place = np.zeros(3, np.float32)
    watched = recorder.watch(place)
    watched[...] = (watched + 0.1) * np.float32(2.0) - 1
    play = make_programs(recorder.finish())[0].play
    place[...] = [1.0, 2.0, 3.0]
    play()
    np.testing.assert_array_equal(place, (np.array([1, 2, 3], np.float32) + 0.1) * np.float32(2.0) - 1, strict=True)


def test_what_nobody_reads_is_not_computed() -> None:
    recorder = Recorder()
    watched = recorder.watch(np.zeros(3))
    unused = np.tanh(watched + 1.0)
    watched[...] = watched * 2.0
    assert unused.shape == (3,)
    recording = recorder.finish()
    assert [call.function for call in recording.calls] == [np.add, np.tanh, np.multiply, np.copyto]
    kept = leave_out_unused(recording.calls, {id(array) for array in recording.given})
    assert [call.function for call in kept] == [np.multiply, np.copyto]


def test_playing_asks_for_no_memory_beyond_numpys_own_buffers() -> None:
    rows = np.random.default_rng(0).random((64, 1000))
    place = np.zeros((1000, 1000))
    recorder = Recorder()
    x, watched = recorder.watch(rows), recorder.watch(place)
    watched[...] = np.matmul(np.matrix_transpose(x), np.tanh(x)) * -0.1 + watched
    play = make_programs(recorder.finish())[0].play
    play()
    tracemalloc.start()
    play()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000  # a result would be 8 MB


def test_the_larger_of_an_array_and_a_number_is_that_of_two_arrays() -> None:
    recorder = Recorder()
    array = np.asarray([[-1.0, 2.0, np.nan], [np.inf, -np.inf, -0.0]], dtype=np.float32)
    watched = recorder.watch(array)
    for result in (np.maximum(watched, 0.0), np.maximum(0, watched), np.minimum(watched, 1)):
        assert result.dtype == np.float32
    expected = (np.maximum(array, 0.0), np.maximum(0, array), np.minimum(array, 1))
    for call, result in zip(recorder.finish().calls, expected, strict=True):
        assert all(argument.shape == array.shape for argument in call.arguments)
        call.written[...] = 7.0
        call.function(*call.arguments)
        np.testing.assert_array_equal(call.written, result, strict=True)
