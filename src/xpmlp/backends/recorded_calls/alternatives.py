"""Programs that do the same, of which the one is played that is the fastest at the time.

Which of two that is depends on the machine, and on a shared one on the minute. They are played in turn for some steps,
each of which counts as a step like any other, then the faster of them for many; then again in turn.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

from .program import Program

TURNS = 5
TIMED_STEPS = 4  # of each program in a turn, after one that fetches its arrays into the cache again
STEPS_UNTIL_NEXT_TRIAL = 2000


class Alternatives:
    """Programs that do the same to the bit with the same given arrays, as one.

    Parameters
    ----------
    programs
        At least one.
    clock
        Tells the seconds since some time or other.
    """

    def __init__(self, programs: Sequence[Program], clock: Callable[[], float] = time.perf_counter) -> None:
        self.programs = programs
        self.clock = clock
        self.turns = take_turns(programs, clock)

    def play(self) -> None:
        """Play the one whose turn it is."""
        program = next(self.turns, None)
        if program is None:  # Ctrl-C came while it was decided, of which a generator does not recover
            self.turns = take_turns(self.programs, self.clock)
            program = next(self.turns)
        program.play()


def take_turns(programs: Sequence[Program], clock: Callable[[], float]) -> Iterator[Program]:
    """Say, step by step, which program is played; what passes until the next step is how long it took."""
    while len(programs) == 1:
        yield programs[0]
    while True:
        seconds: list[list[float]] = [[] for _ in programs]
        for _ in range(TURNS):
            for program, taken in zip(programs, seconds, strict=True):
                yield program
                for _ in range(TIMED_STEPS):
                    started = clock()
                    yield program
                    taken.append(clock() - started)
        # What else passes between two steps now and then, such as an epoch's end, does not move a median.
        fastest = min(range(len(seconds)), key=lambda number: statistics.median(seconds[number]))
        for _ in range(STEPS_UNTIL_NEXT_TRIAL):
            yield programs[fastest]
