"""What every section of the report draws on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .blocks import Block, Notice
from .models import Model, Register
from .outcomes import Outcome, Outcomes
from .used import Used, used_by

_D = TypeVar("_D")


class Material:
    """The outcomes, the images behind them, and the register of their models.

    Args:
        outcomes: as `radiodino.train.report.outcomes.read_outcomes` gives them.
        said: data sets that the user named, by resolved folder.
    """

    def __init__(self, outcomes: Outcomes, said: Mapping[Path, str]) -> None:
        self.outcomes = outcomes
        self.register = Register()
        self._said = said

    def said(self, outcome: Outcome[Any]) -> str | None:
        """The data set that the user named for the folder of `outcome`."""
        return self._said.get(outcome.folder.resolve())

    def used(self, outcome: Outcome[Any]) -> Used:
        """The images of `outcome`."""
        return used_by(outcome, self.said(outcome))

    def by_data(self, outcomes: Sequence[Outcome[_D]], first: str) -> dict[str, list[Outcome[_D]]]:
        """`outcomes` by what their data are called: a data set of the paper, else the inputs' names; `first` first."""
        found: dict[str, list[Outcome[_D]]] = {}
        for outcome in outcomes:
            used = self.used(outcome)
            found.setdefault(used.dataset or used.names, []).append(outcome)
        return dict(sorted(found.items(), key=lambda entry: (entry[0] != first, entry[0])))

    def notices(self, models: Sequence[Model], began: bool = False) -> list[Block]:
        """What must be said of `models`, once for all that it is said of.

        Args:
            models: those of a table or picture.
            began: whether they were trained further, so that their weights are where that began.
        """
        found: dict[str, list[int]] = {}
        for model in models:
            if model.notice:
                numbers = found.setdefault(model.notice, [])
                if self.register.number(model) not in numbers:
                    numbers.append(self.register.number(model))
        return [
            Notice(
                f"{', '.join(f'M{number}' for number in numbers)}{', before the training' if began else ''}: {notice}."
            )
            for notice, numbers in found.items()
        ]
