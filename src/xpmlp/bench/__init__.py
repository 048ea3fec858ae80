"""The benchmark: seconds that an epoch takes on each array library, side by side, and how far from the limit."""

from .compare import Change, compare_results
from .contenders import Contender, backend_contender
from .limits import Limits, epoch_operations, limit_seconds
from .measure import measure_point
from .measurement import Measurement, Point
from .results import Results, load_results
from .run import run_benchmark
from .runner import Runner
from .saving import prepare_folder, save_results
from .settings import BenchSettings, Sweep, parse_sweep
from .workload import Workload, synthetic_workload, workload_of

__all__ = [
    "BenchSettings",
    "Change",
    "Contender",
    "Limits",
    "Measurement",
    "Point",
    "Results",
    "Runner",
    "Sweep",
    "Workload",
    "backend_contender",
    "compare_results",
    "epoch_operations",
    "limit_seconds",
    "load_results",
    "measure_point",
    "parse_sweep",
    "prepare_folder",
    "run_benchmark",
    "save_results",
    "synthetic_workload",
    "workload_of",
]
