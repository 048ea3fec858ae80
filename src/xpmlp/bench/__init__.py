"""Benchmark: time training epochs on each backend, interleaved, and compare the results."""

from .candidates import Candidate, backend_candidate
from .measure import run_benchmark
from .report import Change, compare_results, save_results
from .results import Case, Measurement, Results, Timing, load_results
from .settings import BenchSettings, Sweep, parse_sweep
from .workload import Workload, make_workload, synthetic_workload

__all__ = [
    "BenchSettings",
    "Candidate",
    "Case",
    "Change",
    "Measurement",
    "Results",
    "Sweep",
    "Timing",
    "Workload",
    "backend_candidate",
    "compare_results",
    "load_results",
    "make_workload",
    "parse_sweep",
    "run_benchmark",
    "save_results",
    "synthetic_workload",
]
