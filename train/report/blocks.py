"""What the report's page is made of, whatever it is written as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from radiodino.runtime.notice import marked

DISCLAIMER = f"{marked()}."
"""What every page begins and ends with."""
Kind = Literal["ours", "paper", "group", "original", "peer"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Notice:
    """A paragraph that must not be missed."""

    text: str


@dataclass(frozen=True)
class Missing:
    """What is not there, and the command that makes it."""

    text: str
    command: str


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """Of a table; a group has one cell alone, which stands above the rows that follow."""

    cells: tuple[str, ...]
    kind: Kind = "ours"


@dataclass(frozen=True)
class Table:
    """Rows of text."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    texts: int = 1
    """How many columns, from the first, hold words; the others hold numbers."""


@dataclass(frozen=True)
class Picture:
    """An image."""

    name: str
    """Of its file, without the suffix: letters, digits and dashes."""
    png: bytes = field(repr=False)
    description: str
    """For those who cannot see it."""
    caption: str


@dataclass(frozen=True)
class Drawing:
    """Lines and text, as sharp on a phone as on paper; it lies in an HTML page itself."""

    title: str
    svg: str = field(repr=False)
    """An ``<svg>`` element, which is written as it is."""
    description: str
    """For those who cannot see it: its numbers."""
    caption: str


Block = Text | Notice | Missing | Facts | Table | Picture | Drawing


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All of it."""

    title: str
    lead: tuple[Block, ...]
    """What stands before all sections."""
    sections: tuple[Section, ...]

    def pictures(self) -> list[Picture]:
        """In their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Picture)]
