"""Which of several programs is played, told by a clock that is set forward by what each of them takes."""

import gc
import weakref
from collections import Counter

import pytest

from xpmlp.backends.recorded_calls import Alternatives, Program
from xpmlp.backends.recorded_calls.alternatives import STEPS_UNTIL_NEXT_TRIAL, TIMED_STEPS, TURNS

STEPS_OF_A_TRIAL = TURNS * (1 + TIMED_STEPS)  # of each program


class Machine:
    """Programs that do nothing but take time, each as many seconds as is said at the time."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.interrupted = False
        self.played: list[str] = []
        self.alternatives = Alternatives([Program(((self.play, (name,)),), {}) for name in seconds], self.clock)

    def clock(self) -> float:
        if self.interrupted:
            raise KeyboardInterrupt
        return self.now

    def play(self, name: str) -> None:
        self.now += self.seconds[name]
        self.played.append(name)

    def count(self, steps: int) -> Counter[str]:
        """Play so many steps; return how many were of which program."""
        self.played.clear()
        for _ in range(steps):
            self.alternatives.play()
        return Counter(self.played)


@pytest.mark.parametrize(("seconds", "faster"), [((1.0, 0.9), "b"), ((0.9, 1.0), "a")])
def test_each_is_tried_and_the_faster_one_played_for_long(seconds: tuple[float, float], faster: str) -> None:
    machine = Machine(dict(zip("ab", seconds, strict=True)))
    assert machine.count(2 * STEPS_OF_A_TRIAL) == {"a": STEPS_OF_A_TRIAL, "b": STEPS_OF_A_TRIAL}
    assert machine.count(STEPS_UNTIL_NEXT_TRIAL) == {faster: STEPS_UNTIL_NEXT_TRIAL}


def test_a_machine_that_has_changed_is_found_out_by_the_next_trial() -> None:
    machine = Machine({"a": 1.0, "b": 0.9})
    machine.count(2 * STEPS_OF_A_TRIAL + STEPS_UNTIL_NEXT_TRIAL)
    machine.seconds["b"] = 1.1
    machine.count(2 * STEPS_OF_A_TRIAL)
    assert machine.count(STEPS_UNTIL_NEXT_TRIAL) == {"a": STEPS_UNTIL_NEXT_TRIAL}


def test_what_delays_a_few_steps_does_not_count() -> None:
    machine = Machine({"a": 1.0, "b": 0.9})
    for step in range(2 * STEPS_OF_A_TRIAL):
        machine.alternatives.play()
        if step % 20 == 8:  # while b is tried, in some turns: an epoch ends, and the network is evaluated
            machine.now += 100.0
    assert machine.count(STEPS_UNTIL_NEXT_TRIAL) == {"b": STEPS_UNTIL_NEXT_TRIAL}


def test_what_a_program_finds_in_the_cache_of_the_other_does_not_count() -> None:
    machine = Machine({"a": 1.0, "b": 0.9})
    before = ""
    for _ in range(2 * STEPS_OF_A_TRIAL):
        machine.alternatives.play()
        if machine.played[-1] != before:
            machine.now += 100.0 if machine.played[-1] == "b" else 0.0
            before = machine.played[-1]
    assert machine.count(STEPS_UNTIL_NEXT_TRIAL) == {"b": STEPS_UNTIL_NEXT_TRIAL}


def test_after_an_interruption_it_is_tried_anew() -> None:
    machine = Machine({"a": 1.0, "b": 0.9})
    machine.count(7)
    machine.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        machine.count(2)
    machine.interrupted = False
    assert machine.count(2 * STEPS_OF_A_TRIAL) == {"a": STEPS_OF_A_TRIAL, "b": STEPS_OF_A_TRIAL}
    assert machine.count(STEPS_UNTIL_NEXT_TRIAL) == {"b": STEPS_UNTIL_NEXT_TRIAL}


def test_one_program_is_played_without_looking_at_the_clock() -> None:
    machine = Machine({"a": 1.0})
    machine.interrupted = True
    assert machine.count(3 * STEPS_UNTIL_NEXT_TRIAL) == {"a": 3 * STEPS_UNTIL_NEXT_TRIAL}


def test_programs_are_let_go_with_their_alternatives() -> None:
    machine = Machine({"a": 1.0, "b": 0.9})
    machine.count(7)
    alternatives = weakref.ref(machine.alternatives)
    gc.disable()
    try:
        del machine.alternatives
        assert alternatives() is None
    finally:
        gc.enable()
