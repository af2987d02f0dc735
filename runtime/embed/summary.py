"""What a run did, for its caller and for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .tables import errors_path, notices_path
from .tally import Tally


@dataclass(frozen=True)
class RunSummary:
    """What a run did."""

    files: tuple[Path, ...]
    """What was written, the table first."""
    inputs: int
    """Inputs that were listed."""
    rows: int
    """Rows of the table: one for each image, or for each frame of an image with several."""
    errors: Tally
    """The inputs that could not be read, with the reasons; all of them are in ``OUT.errors.csv``."""
    notices: Tally
    """The rows that have a notice; all of them are in ``OUT.notices.csv``."""
    notes: tuple[str, ...]
    """What was left out when the inputs were listed, a sentence each."""
    resumed: int
    """Inputs that an earlier, unfinished run had done."""
    seconds: float
    """Wall-clock time of this run."""
    rows_per_second: float
    """Of the rows that this run computed; 0 where there were none."""
    waiting_share: float
    """Part of the time from the first image to the last (0 to 1) in which inference waited for decoding."""
    inference_share: float
    """Part of that time in which there was inference. Both are 0 where this run computed no row."""

    @property
    def unreadable(self) -> int:
        """Inputs that could not be read."""
        return self.errors.total

    @property
    def images(self) -> int:
        """Inputs that were read."""
        return self.inputs - self.unreadable

    def lines(self) -> list[str]:
        """The summary for a reader."""
        lines = [
            f"wrote    {', '.join(map(str, self.files))}",
            f"rows     {self.rows} from {self.images} of {self.inputs} inputs",
        ]
        if self.resumed:
            lines.append(f"resumed  {self.resumed} inputs were done by an earlier run")
        lines.append(
            f"time     {self.seconds:.1f} s, {self.rows_per_second:.1f} images/s; "
            f"{self.inference_share:.0%} inference, {self.waiting_share:.0%} waiting for images"
        )
        lines += [f"note     {note}" for note in self.notes]
        table = self.files[0]
        lines += [f"notice   {line}" for line in self.notices.kind_lines(f" in {notices_path(table)}")]
        lines += [f"ERROR    {line}" for line in self.errors.first_lines(f" in {errors_path(table)}")]
        return lines
