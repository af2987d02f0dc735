"""The measurement: every contender in a process of its own, warmed up, then all in turn, round after round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .contender import Contender
from .noise import Noise, NoiseMeter
from .opening import FileRun, Opened, Round
from .worker_process import MeasurementError, WorkerProcess

Progress = Callable[[str], None]
FileRuns = tuple[FileRun, ...]
"""Of one round."""
_PAUSE = 0.05
"""Seconds in which the threads of the one before go to sleep, where there are several: some wait for more work by
spinning."""


@dataclass(frozen=True)
class Pace:
    """How much is measured."""

    rounds: int = 9
    seconds: float = 0.5
    """Of one contender's turn in a round, at least."""
    fewest: int = 3
    """Runs of a turn."""
    warm_seconds: float = 5.0
    """At most, to warm up."""


@dataclass(frozen=True)
class Measured:
    """What came of one contender."""

    opened: Opened
    warm: tuple[float, ...]
    """Seconds of the runs to warm up."""
    stable: bool
    """Whether those became stable."""
    rounds: list[Round] = field(default_factory=list)

    @property
    def medians(self) -> list[float]:
        """Seconds of the median run of each round."""
        return [statistics.median(found.seconds) for found in self.rounds]


class Contest:
    """The processes of all contenders of one work; used as a context, so that they end with it.

    Args:
        contenders: the original first. Peers and matrix products that fail are told of in `failed`; of others a failure
            is an error.
        threads: CPU threads of each engine.
        batch: a ``.npy`` file, see `radiodino.benchmarks.bench.opening.Opening.batch`.
        environment: added to that of each process.
        progress: told what is being done.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        threads: int,
        batch: Path,
        environment: Mapping[str, str],
        progress: Progress = lambda _step: None,
    ) -> None:
        self.contenders = contenders
        self.noise: Noise | None = None
        self.failed: dict[Contender, str] = {}
        """Why, of those that did not come to the end."""
        self._threads, self._batch, self._environment, self._progress = threads, batch, environment, progress
        self._stack = ExitStack()
        self._workers: dict[Contender, WorkerProcess] = {}

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def measure(self, pace: Pace) -> dict[Contender, Measured]:
        """Open all one after the other, warm each up, and measure them in turn.

        Every other round goes through them backwards, so that none is always measured after the same neighbour.

        Raises:
            MeasurementError: a process ended.
        """
        found: dict[Contender, Measured] = {}
        for contender in self.contenders:
            self._progress(f"open {contender.name}")
            worker = WorkerProcess(contender, self._threads, self._batch, self._environment)
            self._stack.callback(worker.close)
            try:
                opened = worker.opened()
                seconds, stable = worker.warm(pace.warm_seconds)
            except MeasurementError as error:
                if not contender.may_fail:
                    raise
                self.failed[contender] = str(error)
                continue
            self._workers[contender] = worker
            found[contender] = Measured(opened, tuple(seconds), stable)
        meter = NoiseMeter()
        for number in range(pace.rounds):
            self._progress(f"round {number + 1} of {pace.rounds}")
            meter.start()
            own = 0.0
            for contender in list(found)[:: -1 if number % 2 else 1]:
                self._pause()
                result = self._workers[contender].round(pace.seconds, pace.fewest)
                found[contender].rounds.append(result)
                own += result.cpu_seconds
            meter.stop(own)
        self.noise = meter.total()
        return found

    def measure_file(self, contenders: Sequence[Contender], path: Path, pace: Pace) -> dict[Contender, list[FileRuns]]:
        """As many rounds again, from an image on disk to the answer; the first run of each is not counted.

        Args:
            contenders: those that read images.
            path: of the image.
            pace: see there.

        Raises:
            MeasurementError: a process ended.
        """
        found: dict[Contender, list[FileRuns]] = {one: [] for one in contenders}
        for one in contenders:
            self._workers[one].file(path, 0.0, 1)
        for number in range(pace.rounds):
            self._progress(f"round {number + 1} of {pace.rounds}, from a file")
            for one in contenders[:: -1 if number % 2 else 1]:
                self._pause()
                found[one].append(self._workers[one].file(path, pace.seconds, pace.fewest))
        return found

    def _pause(self) -> None:
        if self._threads > 1:
            time.sleep(_PAUSE)

    def worker(self, contender: Contender) -> WorkerProcess:
        """Its process, once `measure` opened it."""
        return self._workers[contender]
