"""What a run needs of the kind of file that it writes; a table is one kind, an index of cases another."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..inputs.listing import Listing
from .results import Results


class Writer(Protocol):
    """Writes what a run found."""

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        """Say early, before any work is done, that `output` could not be written.

        Args:
            output: the file to write.
            force: whether files of an earlier run may be replaced.
            resume: whether files beside it may be those of the run that is gone on with.

        Raises:
            RadioDinoError: it could not.
        """

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:
        """Write `output` whole, or not at all.

        Args:
            output: the file to write.
            results: at least one row.
            listing: the inputs, in the order of the entries of `results`.
            force: whether an existing file may be replaced.

        Returns:
            The files that were written, `output` first.

        Raises:
            RadioDinoError: it cannot be written; what was embedded is kept then.
        """
