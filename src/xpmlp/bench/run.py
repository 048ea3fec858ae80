"""A whole benchmark: points measured one after the other, and written down even where it is cut short."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from xpmlp.errors import XpmlpError
from xpmlp.whole_files import write_whole

from .contenders import Contender
from .figures import draw_roofline, draw_sweep, draw_throughput
from .measure import Point, Runner, measure_point
from .memory import why_too_large
from .report import to_markdown
from .results import Results
from .settings import BenchSettings, Sweep
from .workload import Workload


def run_benchmark(
    contenders: Sequence[Contender],
    workload: Workload,
    settings: BenchSettings,
    sweep: Sweep | None = None,
    *,
    say: Callable[[str], None] = lambda line: None,
) -> Results:
    """Measure all contenders, with the settings as they are or with each value of a sweep.

    A point that does not fit into memory is skipped, and says so; Ctrl-C ends the benchmark with what there is.
    """
    variants = [settings] if sweep is None else [sweep.apply(settings, value) for value in sweep.values]
    points: list[Point] = []
    try:
        with Runner(contenders, workload, say) as runner:
            for variant in variants:
                rows = len(workload.x) if variant.rows is None else variant.rows
                sizes = (workload.x.shape[1], *variant.hidden_layer_sizes, workload.classes)
                point = Point(variant, workload.name, rows, sizes)
                reason = why_too_large(point, len(contenders))
                if reason is not None:
                    say(reason)
                    points.append(replace(point, skipped=reason))
                    continue
                points.append(measure_point(runner, variant, with_limits=not points))
                if points[-1].interrupted:
                    break
    except KeyboardInterrupt:
        say("interrupted")
    return Results(tuple(points), None if sweep is None else sweep.name)


def save_results(results: Results, folder: Path) -> list[str]:
    """Write results.json, results.md and the pictures into a folder; return the names of the files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise XpmlpError(f"{folder}: cannot be made ({error.strerror or error}). Choose another --output.") from error
    files = {"results.json": results.to_json().encode(), "results.md": to_markdown(results).encode()}
    timed = [point for point in results.points if point.timed]
    if len(timed) == 1:
        files["throughput.png"] = draw_throughput(timed[0])
    if results.sweep is not None and len(timed) > 1:
        files["sweep.png"] = draw_sweep(replace(results, points=tuple(timed)))
    roofline = draw_roofline(timed[0]) if timed else None
    if roofline is not None:
        files["roofline.png"] = roofline
    for name, content in files.items():
        write_whole(folder / name, content)
    return list(files)
