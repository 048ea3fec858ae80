"""A whole benchmark: points measured one after the other, as far as they fit into memory and nobody interrupts."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from xpmlp.environment import describe_machine
from xpmlp.errors import SettingsError

from .conditions import describe_conditions
from .contenders import Contender
from .measure import measure_point
from .measurement import Point, point_of
from .memory import why_too_large
from .results import Results
from .runner import Runner
from .settings import BenchSettings, Sweep
from .workload import Workload


def run_benchmark(
    contenders: Sequence[Contender],
    workload: Workload,
    settings: BenchSettings,
    sweep: Sweep | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] | None = None,
) -> Results:
    """Measure all contenders, with the settings as they are or with each value of a sweep.

    A point that does not fit into memory is skipped. Ctrl-C ends the benchmark with what there is.

    Parameters
    ----------
    say
        Called with a line on what is going on.
    warn
        Called, before anything is measured, with a line for each point that will not be; by default `say`.

    Raises
    ------
    SettingsError
        For a sweep of the depth of a network without hidden layers.
    """
    if sweep is not None and sweep.name == "depth" and not settings.hidden_layer_sizes:
        raise SettingsError("--sweep depth: there is no hidden layer to take several of. Give --hidden a size.")
    # Before it begins, for the benchmark itself is what keeps the machine busy then.
    machine = describe_machine() | {"conditions": describe_conditions()}
    variants = [settings] if sweep is None else [sweep.apply(settings, value) for value in sweep.values]
    points = [point_of(workload, variant) for variant in variants]
    points = [replace(point, skipped=why_too_large(point, len(contenders))) for point in points]
    for point in points:
        if point.skipped is not None:
            (warn or say)(f"will not be measured: {point.skipped}")
    measured: list[Point] = []
    try:
        with Runner(contenders, workload, say) as runner:
            for point in points:
                measured.append(point if point.skipped is not None else measure_point(runner, point.settings))
                if measured[-1].interrupted:
                    break
    except KeyboardInterrupt:
        say("interrupted")
    return Results(tuple(measured), None if sweep is None else sweep.name, machine)
