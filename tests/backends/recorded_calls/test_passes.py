"""What a recording becomes: fewer calls, larger ones, and arrays that lie where they are quickest."""

from collections.abc import Callable
from typing import Any

import numpy as np

from xpmlp.backends.recorded_calls import Program, Recorder, make_program

Arrays = list[Any]


def play(step: Callable[[Arrays], None], given: Arrays, *, rounding_less: bool) -> Program:
    """Record a step that writes to what it is given, and see that playing it does what it does."""
    recorder = Recorder()
    before = [array.copy() for array in given]
    step([recorder.watch(array) for array in given])
    program = make_program(recorder.finish(), rounding_less=rounding_less)
    places = [program.place_of(array) for array in given]
    for _ in range(2):
        for place, array in zip(places, before, strict=True):
            place[...] = array
        program.play()
        step(before)
        for place, expected in zip(places, before, strict=True):
            if rounding_less:
                np.testing.assert_allclose(place, expected, rtol=1e-9, atol=1e-12)
            else:
                np.testing.assert_array_equal(place, expected)
    return program


def draw(*shapes: tuple[int, ...]) -> Arrays:
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape) for shape in shapes]


# Small arrays side by side


def momentum_step(given: Arrays) -> None:
    """Take a step of Nesterov's momentum for pairs of a weight and its velocity; the first has a penalty."""
    weights, velocities = given[::2], given[1::2]
    gradients = [np.cumulative_sum(weight, axis=-1) for weight in weights]
    gradients[0] = gradients[0] + 0.01 * weights[0]
    rate = np.sum(given[-1]) * 0.001
    for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
        new = 0.9 * velocity - rate * gradient
        weight[...] = weight + (0.9 * new - rate * gradient)
        velocity[...] = new


def test_small_weights_are_updated_in_one_go() -> None:
    shapes = [(3, 4), (3, 4), (1, 4), (1, 4), (4, 2), (4, 2)]
    one, three = (play(momentum_step, draw(*shapes[:count]), rounding_less=False) for count in (2, 6))
    assert len(three.calls) == len(one.calls) + 2  # the gradients of two more weights
    assert len({id(place.base) for place in three.moved.values()}) == 2  # weights in one memory, velocities in another


def test_weights_with_rules_of_their_own_stay_apart() -> None:
    def step(given: Arrays) -> None:
        first, second = given
        first[...] = first * 0.9
        second[...] = second * 0.8

    assert not play(step, draw((3, 4), (2, 2)), rounding_less=False).moved


def test_an_update_that_another_waits_for_is_not_put_off() -> None:
    def step(given: Arrays) -> None:
        first, second, third = given
        first[...] = first * 0.9
        third[...] = np.matmul(first, third)  # the new one
        second[...] = second * 0.9

    assert not play(step, draw((3, 3), (2, 2), (3, 3)), rounding_less=False).moved


def test_a_number_that_changes_between_two_updates_is_not_one_number() -> None:
    def step(given: Arrays) -> None:
        first, second, number = given
        first[...] = first * number
        number[...] = number + 1.0
        second[...] = second * number

    assert not play(step, draw((3, 3), (2, 2), ()), rounding_less=False).moved
