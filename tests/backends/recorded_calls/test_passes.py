"""What a recording becomes: fewer calls, larger ones, and arrays that lie where they are quickest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xpmlp.backends import openblas
from xpmlp.backends.recorded_calls import (
    Program,
    Recorder,
    columns,
    copy_to_page,
    handed_over,
    make_programs,
    parts_of_products,
    products,
)
from xpmlp.backends.recorded_calls.combinations import Combination
from xpmlp.backends.recorded_calls.parts_of_products import PartsOfProduct
from xpmlp.backends.recorded_calls.products import AddedProduct
from xpmlp.backends.recorded_calls.scaled_products import ScaledProduct

Arrays = list[Any]


def play(step: Callable[[Arrays], None], given: Arrays, *, rounding_less: bool) -> Program:
    """Do what `play_each` does, and return the first program."""
    return play_each(step, given, rounding_less=rounding_less)[0]


def play_each(step: Callable[[Arrays], None], given: Arrays, *, rounding_less: bool) -> tuple[Program, ...]:
    """Record a step that writes to what it is given, and see that playing each of its programs does what it does."""
    recorder = Recorder()
    before = [array.copy() for array in given]
    step([recorder.watch(array) for array in given])
    programs = make_programs(recorder.finish(), rounding_less=rounding_less)
    places = [programs[0].place_of(array) for array in given]
    for _ in range(2):
        results = []
        for program in programs:
            for place, array in zip(places, before, strict=True):
                place[...] = array
            program.play()
            results.append([place.copy() for place in places])
        step(before)
        for result in results:
            for found, first, expected in zip(result, results[0], before, strict=True):
                np.testing.assert_array_equal(found, first)
                if rounding_less:
                    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
                else:
                    np.testing.assert_array_equal(found, expected)
    return programs


def draw(*shapes: tuple[int, ...]) -> Arrays:
    generator = np.random.default_rng(0)
    return [generator.normal(size=shape) for shape in shapes]


def planned(monkeypatch: pytest.MonkeyPatch, step: Callable[[Arrays], None], given: Arrays) -> list[Any]:
    """Return the functions of the calls that a step becomes, in one of two ways, before they are bound to arrays."""
    functions: list[Any] = []

    def note(function: Any, arguments: Any) -> Any:
        functions.append(function)
        return function, arguments

    monkeypatch.setattr("xpmlp.backends.recorded_calls.program.bind", note)
    monkeypatch.setattr("xpmlp.backends.recorded_calls.program.hand_over", lambda calls, given: calls)
    play(step, given, rounding_less=True)
    return functions


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


def test_one_number_worked_out_twice_from_what_stays_is_one_number() -> None:
    def step(given: Arrays) -> None:
        first, second, rate = given
        first[...] = first * -rate
        second[...] = second * -rate

    assert play(step, draw((3, 3), (2, 2), ()), rounding_less=False).moved


def test_a_number_worked_out_from_a_result_that_changes_in_between_is_not_one_number() -> None:
    def step(given: Arrays) -> None:
        first, second, rate = given
        number = np.astype(rate, np.float64, copy=True)
        first[...] = first * -number
        number[...] = rate
        second[...] = second * -number

    assert not play(step, draw((3, 3), (2, 2), ()), rounding_less=False).moved


@pytest.mark.parametrize("rounding_less", [True, False])
def test_numbers_of_one_array_are_told_apart_by_their_places(rounding_less: bool) -> None:
    def step(given: Arrays) -> None:
        first, second, rate = given
        rates = np.abs(rate) * np.asarray([1.0, 10.0])
        first[...] = first * -rates[0, ...]
        second[...] = second * -rates[1, ...]

    for shape in ((3, 3), (200, 200)):
        play(step, draw(shape, shape, ()), rounding_less=rounding_less)


def test_numbers_are_told_apart_by_their_dtypes() -> None:
    def step(given: Arrays) -> None:
        first, second, number = given
        scaled = number * 3.3
        narrow, whole = (np.astype(np.astype(scaled, dtype), np.float64) for dtype in (np.float32, np.int64))
        first[...] = first * -narrow
        second[...] = second * -whole

    play(step, draw((3, 3), (2, 3), ()), rounding_less=False)


def test_a_number_that_is_an_element_of_what_is_updated_is_read_where_that_is() -> None:
    def step(given: Arrays) -> None:
        for array in given:
            multiple = array * given[0][0, ...][0, ...]
            array[...] = multiple + given[0][0, ...][0, ...] * multiple

    play(step, draw((5, 5), (5, 5)), rounding_less=False)


# Columns and sums


def softmax_step(given: Arrays) -> None:
    """Replace logits by the gradient of a cross-entropy, and a bias by its sum."""
    logits, targets, bias = given
    shifted = logits * 1.5 - np.max(logits * 1.5, axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    gradient = exponentials / np.sum(exponentials, axis=-1, keepdims=True) - targets
    bias[...] = np.sum(gradient, axis=-2, keepdims=True)
    logits[...] = gradient


def test_what_is_reduced_along_short_rows_lies_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = {}
    turn = columns.lay_in_columns

    def note(*arguments: Any) -> Any:
        calls = turn(*arguments)
        layouts.update({call.function: call.written.flags.f_contiguous for call in calls if call.written.ndim == 2})
        return calls

    monkeypatch.setattr("xpmlp.backends.recorded_calls.program.lay_in_columns", note)
    play(softmax_step, draw((64, 5), (64, 5), (1, 5)), rounding_less=True)
    assert layouts[np.exp]
    layouts.clear()
    play(softmax_step, draw((64, 100), (64, 100), (1, 100)), rounding_less=True)
    assert not layouts[np.exp]


def test_what_is_gathered_is_copied_into_columns_where_it_meets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        logits, all_targets, rows, out = given
        exponentials, targets = np.exp(logits), np.take(all_targets, rows, axis=0)
        out[...] = exponentials / np.sum(exponentials, axis=-1, keepdims=True) - targets

    strides: list[Any] = []
    turn = columns.lay_in_columns

    def note(*arguments: Any) -> Any:
        calls = turn(*arguments)
        strides.extend([array.strides for array in call.read] for call in calls if call.function is np.subtract)
        return calls

    monkeypatch.setattr("xpmlp.backends.recorded_calls.program.lay_in_columns", note)
    rows = np.random.default_rng(1).permutation(300)[:64]
    play(step, [*draw((64, 5), (300, 5)), rows, np.zeros((64, 5))], rounding_less=True)
    assert strides == [[(8, 64 * 8), (8, 64 * 8)]]


def test_rows_are_gathered_of_what_lies_in_columns() -> None:
    def step(given: Arrays) -> None:
        logits, rows, out = given
        exponentials = np.exp(logits)
        chosen = np.take(exponentials, rows, axis=0)
        out[...] = chosen / np.sum(chosen, axis=-1, keepdims=True) + np.sum(exponentials, axis=-1, keepdims=True)

    rows = np.random.default_rng(1).permutation(64)
    play(step, [*draw((64, 5)), rows, np.zeros((64, 5))], rounding_less=True)


def test_what_the_step_did_not_compute_stays_as_it_lies() -> None:
    mask = np.random.default_rng(1).uniform(size=(200, 4))

    def step(given: Arrays) -> None:
        (weights,) = given
        exponentials = np.exp(weights) * mask
        weights[...] = exponentials / np.sum(exponentials, axis=-1, keepdims=True)

    play(step, draw((200, 4)), rounding_less=True)


def test_sums_over_many_rows_are_products(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.matmul in planned(monkeypatch, softmax_step, draw((64, 5), (64, 5), (1, 5)))
    assert np.matmul not in planned(monkeypatch, softmax_step, draw((8, 5), (8, 5), (1, 5)))


# Sums of inner products


def loss_step(combine: Callable[[Any, Any], Any]) -> Callable[[Arrays], None]:
    def step(given: Arrays) -> None:
        totals, x, y, out = given
        out[...] = np.sum(combine(np.exp(totals), np.vecdot(np.tanh(x), np.tanh(y)))) * 0.5

    return step


ADDED_UP = {
    "taken off": lambda a, b: a - b,
    "has others taken off": lambda a, b: b - a,
    "added": lambda a, b: a + b,
}
NOT_ADDED_UP = {
    "multiplied": lambda a, b: a * b,
    "each with each": lambda a, b: a - b[:, None],
    "with itself": lambda a, b: b - b,
    "a multiple": lambda a, b: a - 2.0 * b,
    "squared": lambda a, b: (a - b) * (a - b),
    "read twice": lambda a, b: a - np.max(b) + b,
    "with one number": lambda a, b: np.sum(a) - b,
    "only some": lambda a, b: (a - b)[:7],
}


@pytest.mark.parametrize("combine", ADDED_UP.values(), ids=ADDED_UP.keys())
def test_inner_products_of_rows_that_are_added_up_are_one(
    combine: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = planned(monkeypatch, loss_step(combine), draw((64,), (64, 5), (64, 5), ()))
    assert np.ndarray.dot in functions
    assert np.vecdot not in functions


@pytest.mark.parametrize("combine", NOT_ADDED_UP.values(), ids=NOT_ADDED_UP.keys())
def test_inner_products_of_which_something_else_comes_stay(
    combine: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    functions = planned(monkeypatch, loss_step(combine), draw((64,), (64, 5), (64, 5), ()))
    assert np.ndarray.dot not in functions
    assert np.vecdot in functions


def test_inner_products_of_few_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = planned(monkeypatch, loss_step(ADDED_UP["added"]), draw((8,), (8, 5), (8, 5), ()))
    assert np.vecdot in functions


def test_inner_products_of_what_lies_differently_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        totals, x, y, out = given
        out[...] = np.sum(np.exp(totals) - np.vecdot(np.tanh(x), np.tanh(y).T))

    functions = planned(monkeypatch, step, draw((64,), (64, 64), (64, 64), ()))
    assert np.vecdot in functions


# Updates with products


def rate_step(optimizer: str, penalty: float) -> Callable[[Arrays], None]:
    """Return a step of a large weight, given with its velocity, inputs, outputs' gradients and a learning rate."""

    def step(given: Arrays) -> None:
        weight, velocity, x, d, rate = given
        gradient = np.matmul(np.matrix_transpose(x), d)
        if penalty:
            gradient = gradient + penalty * weight
        if optimizer == "sgd":
            weight[...] = gradient * -rate + weight
            return
        new = 0.9 * velocity - rate * gradient
        weight[...] = weight + (0.9 * new - rate * gradient if optimizer == "nesterov" else new)
        velocity[...] = new

    return step


@pytest.mark.parametrize("penalty", [0.0, 0.01])
@pytest.mark.parametrize(("optimizer", "multiples"), [("sgd", 0), ("momentum", 1), ("nesterov", 2)])
def test_a_product_is_computed_into_the_weight_or_its_velocity(
    optimizer: str, multiples: int, penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = draw((200, 200), (200, 200), (30, 200), (30, 200), ())
    functions = planned(monkeypatch, rate_step(optimizer, penalty), given)
    assert [isinstance(function, AddedProduct) for function in functions].count(True) == 1
    more = int(penalty > 0.0 and optimizer != "sgd")  # the penalty, which plain descent has in what it keeps
    assert [isinstance(function, Combination) for function in functions].count(True) == multiples + more
    assert [function for function in functions if isinstance(function, np.ufunc)] in ([], [np.negative])


@pytest.mark.parametrize("reads", ["the product", "the weight"])
def test_a_product_that_is_read_by_others_stays(reads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        weight, x, d, other = given
        product = np.matmul(np.matrix_transpose(x), d)
        total = weight - 0.1 * product
        if reads == "the weight":  # as it was before, after it has been written to
            before = np.tanh(weight)
            weight[...] = total
            other[...] = before
        else:
            weight[...] = total
            other[...] = np.tanh(product)

    functions = planned(monkeypatch, step, draw((200, 200), (30, 200), (30, 200), (200, 200)))
    assert any(isinstance(function, AddedProduct) for function in functions) == (reads == "the weight")


def test_a_product_of_the_weight_itself_is_not_computed_into_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        (weight,) = given
        weight[...] = weight - 0.001 * np.matmul(weight, weight)

    functions = planned(monkeypatch, step, draw((200, 200)))
    assert not any(isinstance(function, AddedProduct) for function in functions)


def test_a_weight_that_is_read_after_it_was_written_is_the_new_one() -> None:
    def step(given: Arrays) -> None:
        weight, velocity, a, b = given
        product = np.matmul(a, b)
        weight[...] = weight * 0.9 - product * 0.01
        velocity[...] = velocity + weight * 0.1 - product * 0.01

    play(step, draw((200, 200), (200, 200), (200, 30), (30, 200)), rounding_less=True)


# Parts of products


@pytest.mark.parametrize("threads", [2, 3])
def test_large_products_are_divided(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, weight, bias, out = given
        out[...] = np.matmul(x, weight) + bias
        weight[...] = weight + np.matmul(np.matrix_transpose(x), np.tanh(out))

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    given = draw((100, 500), (500, 120), (1, 120), (100, 120))
    functions = planned(monkeypatch, step, given)
    (parts,) = (function for function in functions if isinstance(function, PartsOfProduct))
    assert parts.division.axis == "inner"
    assert len(parts.division.parts) == threads
    assert functions.count(np.add) == threads - 1  # the parts, which began with the bias
    assert parts.begun
    monkeypatch.undo()
    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    play(step, given, rounding_less=True)  # and so bound to OpenBLAS, where that is there


@pytest.mark.parametrize("adds", ["a row on the left", "a matrix", "a column", "a row, and reads the product"])
def test_a_product_begins_with_a_row_that_is_added_to_it_alone(adds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, weight, added, out = given
        product = np.matmul(x, weight)
        out[...] = added + product
        if adds == "a row, and reads the product":
            x[:, :120] = product

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: 2)
    shape = {"a matrix": (100, 120), "a column": (100, 1)}.get(adds, (1, 120))
    functions = planned(monkeypatch, step, draw((100, 500), (500, 120), shape, (100, 120)))
    (parts,) = (function for function in functions if isinstance(function, PartsOfProduct))
    assert parts.begun == (adds == "a row on the left")


def test_rows_of_a_product_that_is_added_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    bind = openblas.bind_products

    def note(parts: Any, factors: Any = None) -> Any:
        asked.append(len(parts))
        return bind(parts, factors)

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: 2)
    monkeypatch.setattr(parts_of_products, "bind_products", note)
    monkeypatch.setattr(products, "bind_rows", parts_of_products.bind_rows)
    play(rate_step("sgd", 0.0), draw((500, 120), (500, 120), (100, 500), (100, 120), ()), rounding_less=True)
    assert asked == [2]


# Products of what is divided


def pixels_step(given: Arrays) -> None:
    stored, divisor, weight, out, rate = given
    x = np.astype(stored, np.float64) / (255.0 if divisor is None else divisor)
    out[...] = np.tanh(np.matmul(x, weight))
    weight[...] = weight - rate * np.matmul(np.matrix_transpose(x), out)


def draw_pixels() -> Arrays:
    stored = np.random.default_rng(1).integers(0, 256, (100, 500), np.uint8)
    weight, out, rate = draw((500, 120), (100, 120), ())
    return [stored, weight / 9.0, out, rate]


@pytest.mark.parametrize("threads", [1, 2])
def test_products_are_divided_in_place_of_pixels(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        stored, weight, out, rate = given
        pixels_step([stored, None, weight, out, rate])

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    functions = planned(monkeypatch, step, draw_pixels())
    assert not {np.divide, np.multiply, np.matmul} & set(functions)
    assert [f.scale for f in functions if isinstance(f, ScaledProduct | PartsOfProduct)] == [1.0 / 255.0]
    monkeypatch.undo()
    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    play(step, draw_pixels(), rounding_less=True)


def test_the_gradient_of_adam_is_divided_as_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        stored, weight, out, rate = given
        x = np.astype(stored, np.float64) / 255.0
        gradient = np.matmul(np.matrix_transpose(x), out)
        weight[...] = weight - rate * gradient / (np.sqrt(gradient * gradient) + 0.1)

    functions = planned(monkeypatch, step, draw_pixels())
    assert sum(isinstance(function, ScaledProduct | PartsOfProduct) for function in functions) == 1
    monkeypatch.undo()
    play(step, draw_pixels(), rounding_less=True)


@pytest.mark.parametrize("why", ["another reads them", "the divisor may change"])
def test_pixels_are_divided_where_products_cannot_be(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        stored, weight, out, rate = given
        if why == "the divisor may change":
            pixels_step([stored, rate, weight, out, rate])
            return
        x = np.astype(stored, np.float64) / 255.0
        out[...] = np.matmul(x, weight) + x[:, :120]
        weight[...] = weight * rate

    functions = planned(monkeypatch, step, draw_pixels())
    scales = [f.scale for f in functions if isinstance(f, ScaledProduct | PartsOfProduct)]
    assert set(scales) <= {1.0}


def test_pixels_that_are_written_over_in_between_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, weight, out = given
        quotient = x / 255.0
        x[...] = np.tanh(x)
        out[...] = np.matmul(quotient, weight)

    functions = planned(monkeypatch, step, draw((100, 500), (500, 120), (100, 120)))
    assert np.divide in functions


# Operands in parts


def operand_step(makes: Callable[[Any], Any], reads: Callable[[Any], Any] | None = None) -> Callable[[Arrays], None]:
    """Return a step of two products with an operand that is computed, which may be read for something else as well."""

    def step(given: Arrays) -> None:
        x, weight, d, out, other = given
        operand = makes(x)
        out[...] = np.matmul(operand, weight)
        weight[...] = weight - 0.01 * np.matmul(np.matrix_transpose(operand), d)
        if reads is not None:
            other[...] = reads(operand)

    return step


def widths_of_parts(
    step: Callable[[Arrays], None],
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
    inner: int = 500,
    maker: Callable[..., Any] = np.tanh,
) -> list[int]:
    """Return how many columns each part has that the operand's maker is called for."""
    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    given = draw((100, inner), (inner, 120), (100, 120), (100, 120), (100, inner))
    program = play_each(step, given, rounding_less=True)[-1]
    shapes = [arguments[-1].shape for function, arguments in program.calls if function is maker]
    assert shapes
    return [shape[-1] for shape in shapes if len(shape) == 2 and shape[-1] < inner]


@pytest.mark.parametrize(("threads", "widths"), [(2, [248, 252]), (3, [168, 168, 164])])
def test_what_threads_read_by_columns_lies_in_parts(
    threads: int, widths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert widths_of_parts(operand_step(np.tanh), threads, monkeypatch) == widths
    # So it does where there is nothing that computes several products at once.
    monkeypatch.setattr(parts_of_products, "bind_products", lambda *_: None)
    assert widths_of_parts(operand_step(np.tanh), threads, monkeypatch) == widths


@pytest.mark.parametrize("reads", [np.exp, np.flip, lambda x: x[::-1] * 2.0], ids=["all", "turned", "doubled"])
def test_what_others_read_too_lies_whole(reads: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not widths_of_parts(operand_step(np.tanh, reads), 2, monkeypatch)


def test_what_is_made_of_rows_lies_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    row = np.random.default_rng(2).normal(size=(1, 500))
    assert not widths_of_parts(operand_step(lambda x: x * row), 2, monkeypatch, maker=np.multiply)
    assert widths_of_parts(operand_step(lambda x: x * x), 2, monkeypatch, maker=np.multiply)


def test_a_small_operand_lies_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not widths_of_parts(operand_step(np.tanh), 1, monkeypatch)
    assert not widths_of_parts(operand_step(np.tanh), 2, monkeypatch, inner=300)


def test_an_operand_of_a_product_that_is_added_is_parted_by_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, b, weight = given
        weight[...] = weight - 0.01 * np.matmul(np.tanh(x), b)

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: 2)
    play(step, draw((100, 500), (500, 400), (100, 400)), rounding_less=True)


def test_an_operand_of_both_sides_lies_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, *_, out = given
        operand = np.tanh(x)
        out[:, :100] = np.matmul(operand, np.matrix_transpose(operand))

    assert not widths_of_parts(step, 2, monkeypatch, inner=2000)


# Results that other cores read


def count_copies(program: Program) -> int:
    return sum(arguments[0].size for function, arguments in program.calls if function is np.copyto)


@pytest.mark.parametrize(("threads", "copied"), [(1, [0]), (2, [200 * 252, 0])])
def test_what_other_threads_read_is_computed_apart_and_copied_or_not(
    threads: int, copied: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(given: Arrays) -> None:
        x, weight, out = given
        out[...] = np.matmul(np.tanh(x), weight)

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: threads)
    programs = play_each(step, draw((200, 500), (500, 120), (200, 120)), rounding_less=True)
    assert [count_copies(program) for program in programs] == copied


@pytest.mark.parametrize(("threads", "copied"), [(1, [0]), (2, [200 * 200, 0])])
def test_so_is_what_threads_add_a_multiple_of(threads: int, copied: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        weight, mean, square, rate = given
        weight[...] = -rate * mean / (np.sqrt(np.abs(square)) + 1e-8) + weight

    monkeypatch.setattr(handed_over, "count_products_at_once", lambda dtype: threads)
    programs = play_each(step, draw((200, 200), (200, 200), (200, 200), ()), rounding_less=True)
    assert [count_copies(program) for program in programs] == copied


def test_what_one_core_reads_is_computed_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        x, out = given
        out[...] = np.tanh(np.tanh(x) + np.sum(np.tanh(x), axis=0, keepdims=True))

    monkeypatch.setattr(parts_of_products, "count_products_at_once", lambda dtype: 2)
    assert count_copies(play(step, draw((100, 500), (100, 500)), rounding_less=True)) == 0


# Multiples that are divided


def test_an_update_of_adams_ends_in_a_multiple_that_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(given: Arrays) -> None:
        weight, mean, square, rate = given
        weight[...] = -rate * mean / (np.sqrt(np.abs(square)) + 1e-8) + weight

    functions = planned(monkeypatch, step, draw((200, 200), (200, 200), (200, 200), ()))
    assert isinstance(functions[-1], Combination)
    assert np.multiply not in functions


def test_what_is_divided_by_itself_is_not_taken_apart() -> None:
    def step(given: Arrays) -> None:
        first, second = given
        multiple = first * 0.3
        second[...] = multiple / multiple
        first[...] = np.tanh(first)

    play(step, draw((200, 200), (200, 200)), rounding_less=True)


# Memory


def test_a_large_array_begins_with_a_page_and_owns_its_memory() -> None:
    large, small = draw((200, 200), (2, 2))
    copy = copy_to_page(large)
    np.testing.assert_array_equal(copy, large)
    assert copy.ctypes.data % 4096 == 0
    assert not isinstance(copy.base, np.ndarray)
    assert copy.flags.writeable
    assert copy_to_page(small) is small
    assert copy_to_page(large.T) is not copy
    assert copy_to_page(large.T).flags.f_contiguous  # products of it are rounded as the array lies
