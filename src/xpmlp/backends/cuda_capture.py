"""Capturing a step as a CUDA graph: what CuPy and PyTorch have in common."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .engine.captured_step import DeviceStep

logger = logging.getLogger(__name__)

CAPTURING = threading.Lock()


@contextmanager
def exclusive_capture() -> Iterator[None]:
    """Capture in one thread at a time, without garbage collection, whose finalizers may call the device."""
    with CAPTURING:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if was_enabled:
                gc.enable()


def take_eager_steps(captured: DeviceStep, backend: str, error: Exception) -> Callable[[], None]:
    """Return a function that takes a step which could not be captured, and log why."""
    logger.warning(
        "backend %s: this step cannot be captured (%s: %s). It is taken eagerly, which is several times slower.",
        *(backend, type(error).__name__, str(error).strip().rstrip(".")),
    )
    return captured.run
