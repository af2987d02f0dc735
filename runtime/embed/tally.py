"""What happened to some of the inputs: how often each thing did, and to which of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

SHOWN = 5
"""Lines that a reader is shown; the files beside the table hold all."""


@dataclass(frozen=True)
class Tally:
    """Reasons or notices, counted, with the first names they belong to."""

    counts: Mapping[str, int]
    """How often each text occurs, the most frequent first."""
    first: tuple[tuple[str, str], ...]
    """The first `SHOWN` names in the order of the inputs, each with its text."""
    examples: Mapping[str, str]
    """For each text the first name that has it."""

    @classmethod
    def of(cls, named: Iterable[tuple[str, str]]) -> Tally:
        """The tally of names with their texts, in the order of the inputs."""
        counts: Counter[str] = Counter()
        first: list[tuple[str, str]] = []
        examples: dict[str, str] = {}
        for name, text in named:
            counts[text] += 1
            examples.setdefault(text, name)
            if len(first) < SHOWN:
                first.append((name, text))
        return cls(dict(counts.most_common()), tuple(first), examples)

    @property
    def total(self) -> int:
        """Names that were counted."""
        return sum(self.counts.values())

    def first_lines(self, where: str = "") -> list[str]:
        """The first names with their texts; then how many more there are and where, and how often each text occurs."""
        lines = [f"{name}: {text}" for name, text in self.first]
        more = self.total - len(lines)
        if not more:
            return lines
        kinds = "; ".join(f"{count} × {text}" for text, count in self._frequent())
        return [*lines, f"… and {more} more{where} (most often {kinds})"]

    def kind_lines(self, where: str = "") -> list[str]:
        """The most frequent texts with their counts and first names; then how many more texts there are, and where."""
        lines = [f"{count} × {text} (first {self.examples[text]})" for text, count in self._frequent()]
        more = len(self.counts) - len(lines)
        return [*lines, f"… and {more} more kinds{where}"] if more else lines

    def _frequent(self) -> list[tuple[str, int]]:
        return list(islice(self.counts.items(), SHOWN))
