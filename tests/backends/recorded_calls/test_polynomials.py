"""Polynomials of numbers come to what the same arithmetic on numbers comes to."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpmlp.backends.recorded_calls.numbers import describe_numbers
from xpmlp.backends.recorded_calls.polynomials import ONE, ZERO, Numbers, add, divide, evaluate, multiply

VALUES = [0.5, -2.0, 3.0]
POLYNOMIALS = st.dictionaries(
    st.lists(st.integers(0, 2), max_size=3).map(lambda factors: tuple(sorted(factors))),
    st.sampled_from([-2.0, -1.0, 1.0, 3.0]),
    max_size=4,
)


@given(first=POLYNOMIALS, second=POLYNOMIALS, times=st.sampled_from([-1.0, 1.0, 2.5]))
def test_sums_and_products(first: Any, second: Any, times: float) -> None:
    a, b = evaluate(first, VALUES), evaluate(second, VALUES)
    assert evaluate(add(first, second, times), VALUES) == pytest.approx(a + times * b)
    assert evaluate(multiply(first, second), VALUES) == pytest.approx(a * b)
    assert add(first, first, -1.0) == ZERO


@given(first=POLYNOMIALS, second=POLYNOMIALS)
def test_a_quotient_times_the_divisor_is_the_dividend(first: Any, second: Any) -> None:
    assert divide(first, ONE) == first
    quotient = divide(multiply(first, second), second)
    assert (quotient == first) if len(second) == 1 else quotient is None


def test_what_no_number_divides_has_no_quotient() -> None:
    assert divide({(0,): 1.0, (1,): 1.0}, {(0,): 1.0}) is None


def test_constants_are_worked_in_and_equal_ones_are_one_number() -> None:
    rate, momentum, again = np.asarray(0.1), np.asarray(0.9), np.asarray(0.9)
    numbers = Numbers(describe_numbers([], {id(rate)}))
    first, second, third = map(numbers.polynomial, (rate, momentum, again))
    assert second == third
    (chosen,), needed = numbers.choose([add(multiply(first, second), multiply(second, third))])
    assert needed == (rate,)
    assert chosen == {(0,): 0.9, (): 0.9 * 0.9}
