"""A measuring process, as seen by the one that asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from radiodino.runtime.errors import RadioDinoError

from .contender import Contender
from .openers import Batch, Outputs
from .opening import FileRun, Opened, Opening, Round

_PATIENCE = 10  # seconds for a process to end by itself


class MeasurementError(RadioDinoError):
    """A contender could not be measured to the end."""


class WorkerProcess:
    """Starts a contender's process.

    Args:
        contender: what it runs.
        threads: CPU threads of its engine.
        batch: a ``.npy`` file, see `Opening.batch`; for a contender that has none of its own.
        environment: added to this process's.
    """

    def __init__(self, contender: Contender, threads: int, batch: Path, environment: Mapping[str, str]) -> None:
        self.name = contender.name
        opening = Opening(
            opener=contender.opener,
            file=str(contender.file),
            engine=contender.engine,
            compute=contender.compute,
            device=contender.device,
            threads=threads,
            outputs=contender.outputs,
            batch=str(contender.batch or batch),
        )
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed below
        self._process = subprocess.Popen(
            [sys.executable, "-m", "radiodino.benchmarks.bench.worker", opening.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **environment},
        )

    def opened(self) -> Opened:
        """Wait until it is open and has run once.

        Raises:
            MeasurementError: the process ended.
        """
        return Opened(**self._answer())

    def warm(self, seconds: float) -> tuple[list[float], bool]:
        """See `radiodino.benchmarks.bench.timing.warm_up`.

        Raises:
            MeasurementError: the process ended.
        """
        found = self._ask(do="warm", seconds=seconds)
        return found["seconds"], found["stable"]

    def round(self, seconds: float, fewest: int) -> Round:
        """See `radiodino.benchmarks.bench.timing.timed_runs`.

        Raises:
            MeasurementError: the process ended.
        """
        found = self._ask(do="round", seconds=seconds, fewest=fewest)
        runs = {name: tuple(found[name]) for name in ("seconds", "run_cpu_seconds")}
        return Round(**{**found, **runs})

    def file(self, path: Path, seconds: float, fewest: int) -> tuple[FileRun, ...]:
        """Runs from an image on disk to the answer, as many as `round` would make.

        Raises:
            MeasurementError: the process ended.
        """
        found = self._ask(do="file", path=str(path), seconds=seconds, fewest=fewest)
        return tuple(FileRun(**one) for one in found["runs"])

    def answer(self, images: Path, folder: Path) -> Outputs:
        """All outputs for the images of a ``.npy`` file.

        Raises:
            MeasurementError: the process ended.
        """
        outputs = folder / "outputs.npz"
        self._ask(do="answer", images=str(images), outputs=str(outputs))
        with np.load(outputs) as found:
            return {name: found[name] for name in found.files}

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # it has ended already
                    continue
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _ask(self, **question: Any) -> dict[str, Any]:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = self._process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said.read().splitlines() if line.strip()]
        last = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        raise MeasurementError(f"the process of '{self.name}' ended with status {status}: {last}")


def save_batch(path: Path, batch: Batch) -> Path:
    """Write `batch` where a process can read it."""
    np.save(path, batch)
    return path
