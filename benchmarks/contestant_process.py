"""One contestant in a process of its own: its memory is its own, and it is idle while others are measured."""

from __future__ import annotations

import multiprocessing
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from radiodino.runtime.errors import RadioDinoError
from radiodino.runtime.machine import this_machine

from .peak_memory import peak_mib

if TYPE_CHECKING:
    import torch

    from .contest import Job
    from .contestants import Contestant

_HEAVY = ["radiodino.benchmarks.contestants", "lightning_fabric", "timm", "torchvision"]
_PATIENCE = 10  # seconds for a process to end by itself


class MeasurementError(RadioDinoError):
    """A contestant could not be measured to the end."""


@dataclass(frozen=True)
class Sample:
    """One round of one contestant."""

    seconds: float
    images: int
    waited: float
    """Seconds of `seconds` in which the step waited for data."""
    peak_mib: float | None
    """Largest memory so far: on CUDA what PyTorch held there, else that of the training process without its data
    workers; None where the system does not say (outside Linux)."""
    loss: float


class ContestantProcess:
    """Starts a contestant.

    Args:
        name: of `radiodino.benchmarks.contestants.CONTESTANTS`.
        job: what to measure.
    """

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        methods = multiprocessing.get_all_start_methods()
        if "forkserver" in methods:  # PyTorch is imported once, before any thread or CUDA device is in use
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(_HEAVY)
        else:
            context = multiprocessing.get_context("spawn")  # type: ignore[assignment]
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, job), name=name)
        self._process.start()
        theirs.close()

    def ready(self) -> str:
        """Wait until the contestant is built.

        Returns:
            The name of the device that it computes on.

        Raises:
            RadioDinoError: what the contestant raised.
            MeasurementError: where its process ended.
        """
        device: str = self._answer()
        return device

    def round(self, steps: int) -> Sample:
        """Measure one round of at least `steps` steps.

        Raises:
            RadioDinoError: what the contestant raised.
            MeasurementError: where its process ended.
        """
        self._connection.send(steps)
        sample: Sample = self._answer()
        return sample

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError:
            self._process.join(_PATIENCE)
            raise MeasurementError(
                f"the process of '{self.name}' ended with status {self._process.exitcode}: see its message above, or "
                "give it less to do with --batch-size"
            ) from None
        if isinstance(answer, RadioDinoError):
            raise answer
        return answer


def measure(contestant: Contestant, batch_size: int, steps: int) -> Sample:
    """One round: open the data path, let it settle, measure at least `steps` steps, and close it."""
    steps = -(-steps // contestant.period) * contestant.period
    contestant.start()
    try:
        for _ in range(contestant.settling):
            contestant.step()
        _synchronise(contestant.device)
        began = time.perf_counter()
        waited = sum(contestant.step() for _ in range(steps))
        _synchronise(contestant.device)
        seconds = time.perf_counter() - began
    finally:
        contestant.stop()
    return Sample(seconds, steps * batch_size, waited, _peak_mib(contestant.device), contestant.loss)


def _serve(connection: Connection, name: str, job: Job) -> None:
    import torch

    from .contestants import CONTESTANTS

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this hears it and closes the connection
    torch.set_num_threads(job.threads)
    try:
        contestant = CONTESTANTS[name](job)
        connection.send(_name_of(contestant.device))
        while True:
            connection.send(measure(contestant, job.recipe.batch_size, connection.recv()))
    except RadioDinoError as error:
        connection.send(error)
    except (EOFError, BrokenPipeError):  # nobody asks any more
        return


def _name_of(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else this_machine().processor


def _synchronise(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_mib(device: torch.device) -> float | None:
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()
