import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xpmlp.training import SCHEDULES, constant, warmup_cosine

PEAK = 0.3


def rates(steps: int, warmup: float = 0.1) -> np.ndarray:
    schedule = warmup_cosine(PEAK, warmup=warmup)
    return np.asarray([schedule(step, steps) for step in range(steps)])


@given(st.integers(1, 300), st.floats(0.0, 0.99))
@example(30, 0.1)  # 0.1 * 30 is a little more than 3
def test_warmup_cosine_rises_to_its_peak_and_falls_from_it_whatever_the_length(steps: int, warmup: float) -> None:
    values = rates(steps, warmup)
    top = int(values.argmax())
    assert values[top] == pytest.approx(PEAK, rel=1e-9)
    assert (values > 0.0).all()
    assert (np.diff(values[: top + 1]) > 0.0).all()
    assert (np.diff(values[top:]) < 0.0).all()
    assert abs(top - warmup * steps) <= 1


def test_warmup_cosine_rises_in_a_straight_line_and_falls_as_half_a_cosine() -> None:
    values = rates(1000)
    np.testing.assert_allclose(np.diff(values[:100]), PEAK / 101, rtol=1e-10)
    np.testing.assert_allclose(values[100:], PEAK * (1 + np.cos(np.pi * np.arange(900) / 900)) / 2, rtol=1e-10)
    assert values[0] == pytest.approx(PEAK / 101)
    assert rates(1).tolist() == rates(1, warmup=0.0).tolist() == [PEAK]  # a single step is taken at the full rate


def test_every_named_schedule_has_the_learning_rate_as_its_highest_and_constant_no_other() -> None:
    for name in SCHEDULES:
        schedule = SCHEDULES[name](PEAK)
        assert max(schedule(step, 200) for step in range(200)) == pytest.approx(PEAK, rel=1e-12)
    assert {constant(PEAK)(step, 100) for step in range(100)} == {PEAK}
