"""The workers of a benchmark, and what is known of them before and beside any point."""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from .contenders import Contender
from .limits import Ceilings
from .worker import Worker, WorkerError
from .workload import Workload


class Runner:
    """The workers of a benchmark, started once and used for each point.

    Parameters
    ----------
    say
        Called with a line on what is going on.
    """

    def __init__(
        self, contenders: Sequence[Contender], workload: Workload, say: Callable[[str], None] = lambda line: None
    ) -> None:
        self.contenders = contenders
        self.workload = workload
        self.say = say
        self.workers: dict[str, Worker] = {}
        self.failures: dict[str, str] = {}
        self.ceilings: dict[str, Ceilings] = {}
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> "Runner":
        # Ctrl-C while they start must leave neither processes nor files behind.
        with contextlib.ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xpmlp-bench-")))
            self.workload.save(self.folder)
            for contender in self.contenders:
                self.say(f"starting {contender.name}")
                try:
                    worker = Worker(contender)
                except WorkerError as error:
                    self.failures[contender.name] = str(error)
                else:
                    stack.callback(worker.close)
                    self.workers[contender.name] = worker
            self.stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stack.close()

    def ceilings_of(self, worker: Worker, dtype: str, products_by: str) -> Ceilings:
        """Return what a worker's library and device can do at most, measured when it is first asked for.

        Parameters
        ----------
        products_by
            What multiplies, which may be another library for another size of network.

        Raises
        ------
        WorkerError
            Where it could not be measured.
        """
        name = worker.contender.name
        key = f"{name} {dtype} {products_by}"
        if key not in self.ceilings:
            self.say(f"the limits of {name}")
            self.ceilings[key] = Ceilings(**worker.ask("ceilings"))
        return self.ceilings[key]
