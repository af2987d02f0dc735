"""Globs (``*``, ``?``, ``[…]`` and ``**``), matched name by name on the way down a tree of folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch


def is_glob(text: str) -> bool:
    """Whether `text` has a character that makes it a glob."""
    return any(character in text for character in "*?[")


@dataclass(frozen=True, slots=True)
class Glob:
    """The patterns of a glob, one for each component of a path, and how far a path has come in them."""

    patterns: tuple[str, ...]
    reached: frozenset[int]
    """The patterns that may come next, as their positions; several, as ``**`` stands for any number of folders."""

    @classmethod
    def split(cls, text: str) -> tuple[str, Glob]:
        """The folder where the search begins, and the glob for what lies below it."""
        parts = text.split("/")
        fixed = next(index for index, part in enumerate(parts) if is_glob(part))
        base = "/".join(parts[:fixed]) or ("/" if text.startswith("/") else ".")
        return base, cls._at(tuple(parts[fixed:]), {0})

    @classmethod
    def _at(cls, patterns: tuple[str, ...], reached: Iterable[int]) -> Glob:
        onward = set(reached)
        for position in reached:
            while patterns[position : position + 1] == ("**",):  # which may stand for no folder at all
                position += 1
                onward.add(position)
        return cls(patterns, frozenset(onward))

    @property
    def is_match(self) -> bool:
        """Whether the path so far matches the whole of it."""
        return len(self.patterns) in self.reached

    @property
    def is_lost(self) -> bool:
        """Whether neither the path so far nor anything below it can match."""
        return not self.reached

    def below(self, name: str) -> Glob:
        """How far a path has come with one more component, `name`.

        As in a shell, a hidden name is matched only by a pattern that begins with a dot.
        """
        onward = set()
        for position in self.reached - {len(self.patterns)}:
            pattern = self.patterns[position]
            if name.startswith(".") and not pattern.startswith("."):
                continue
            if pattern == "**":
                onward.add(position)
            elif fnmatch(name, pattern):
                onward.add(position + 1)
        return self._at(self.patterns, onward)
