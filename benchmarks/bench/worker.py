"""The measuring process: one contender, alone with its memory, idle while others are measured.

    python -m radiodino.benchmarks.bench.worker OPENING

It is asked and answers by lines of JSON on standard input and output; whatever a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from radiodino.runtime.errors import InputError, RadioDinoError

from ..peak_memory import peak_mib
from .openers import Batch, Outputs, Runner, open_runner
from .opening import FileRun, Opened, Opening, Round
from .timing import timed_runs, warm_up


def main(text: str) -> None:
    """Open what `text` (JSON of an `Opening`) says, then do what is asked until nothing more is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this hears it and closes the pipe
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(Opening.from_json(text), sys.stdin, answers)


def serve(opening: Opening, questions: IO[str], answers: IO[str]) -> None:
    """Open, answer with an `Opened`, and then each question with what it asks for.

    Args:
        opening: what to open.
        questions: lines of JSON, each with ``do`` (``warm``, ``round``, ``file`` or ``answer``) and its arguments.
        answers: takes a line of JSON for each.
    """
    began = time.perf_counter()
    batch: Batch = np.load(opening.batch)
    runner = open_runner(opening, len(batch))
    loaded = time.perf_counter()
    runner.run(batch)
    opened = Opened(
        version=runner.version,
        compute=runner.compute,
        import_seconds=runner.imported - began,
        load_seconds=loaded - runner.imported,
        first_seconds=time.perf_counter() - loaded,
    )
    _say(answers, asdict(opened))
    for line in questions:
        question: dict[str, Any] = json.loads(line)
        _say(answers, _DO[question.pop("do")](runner, batch, **question))


def answers_to(run: Callable[[Batch], Outputs], images: Batch, at_once: int) -> Outputs:
    """All outputs for (N, 3, S, S) `images`, run in batches of exactly `at_once`, the last filled up with copies."""
    parts = []
    for start in range(0, len(images), at_once):
        part = images[start : start + at_once]
        filled = np.concatenate([part, np.repeat(part[-1:], at_once - len(part), axis=0)])
        parts.append({name: values[: len(part)] for name, values in run(np.ascontiguousarray(filled)).items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def file_run(runner: Runner, path: str) -> FileRun:
    """From the image at `path` to the answer.

    Raises:
        InputError: the contender does not read images.
    """
    if runner.read is None:
        raise InputError("this engine is given network input: how an image becomes that is left to its user")
    began = time.perf_counter()
    batch, decoded = runner.read(path)
    resized = time.perf_counter()
    runner.run(batch)
    return FileRun(decode=decoded - began, resize=resized - decoded, inference=time.perf_counter() - resized)


def _warm(runner: Runner, batch: Batch, seconds: float) -> dict[str, Any]:
    found, stable = warm_up(lambda: runner.run(batch), seconds)
    return {"seconds": found, "stable": stable}


def _file(runner: Runner, _batch: Batch, path: str, seconds: float, fewest: int) -> dict[str, Any]:
    found: list[FileRun] = []
    file_run(runner, path)  # as below
    timed_runs(lambda: found.append(file_run(runner, path)), seconds, fewest)
    return {"runs": [asdict(one) for one in found]}


def _round(runner: Runner, batch: Batch, seconds: float, fewest: int) -> dict[str, Any]:
    began = time.process_time()
    of_runs: list[float] = []

    def run() -> None:
        before = time.process_time()
        runner.run(batch)
        of_runs.append(time.process_time() - before)

    runner.run(batch)  # not counted: others' data are in the caches
    found = timed_runs(run, seconds, fewest)
    return asdict(
        Round(
            seconds=tuple(found),
            run_cpu_seconds=tuple(of_runs),
            cpu_seconds=time.process_time() - began,
            peak_mib=peak_mib(),
        )
    )


def _answer(runner: Runner, batch: Batch, images: str, outputs: str) -> dict[str, Any]:
    found: dict[str, Any] = answers_to(runner.run, np.load(images), len(batch))
    np.savez(outputs, **found)
    return {}


_DO: dict[str, Callable[..., dict[str, Any]]] = {"warm": _warm, "round": _round, "file": _file, "answer": _answer}


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except RadioDinoError as error:
        sys.exit(f"error: {error}")
