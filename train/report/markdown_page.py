"""The page as Markdown, its pictures as files in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ..evaluate.outcome import markdown_table
from .blocks import DISCLAIMER, Block, Drawing, Facts, Missing, Notice, Page, Picture, Row, Table, Text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
_LIST = re.compile(r"^(\s*)([-+]|\d+[.)])(?=\s|$)")


def as_markdown(page: Page, pictures: str) -> str:
    """The whole file, for UTF-8; what Markdown would read as more than text is escaped.

    Args:
        page: what to write.
        pictures: the name of the folder of its pictures, each of which is called NAME.png.
    """
    parts = [f"# {_escaped(page.title)}", *(_block(block, pictures) for block in page.lead)]
    for section in page.sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += (_block(block, pictures) for block in section.blocks)
    return "\n\n".join([*parts, f"**{_escaped(DISCLAIMER)}**"]) + "\n"


def _escaped(text: str) -> str:
    plain = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return _LIST.sub(lambda found: f"{found[1]}{found[2][:-1]}\\{found[2][-1]}", plain)


def _block(block: Block, pictures: str) -> str:
    return _WRITERS[type(block)](block, pictures)


def _text(block: Text, _pictures: str) -> str:
    return _escaped(block.text)


def _notice(block: Notice, _pictures: str) -> str:
    return f"> **{_escaped(block.text)}**"


def _missing(block: Missing, _pictures: str) -> str:
    return f"{_escaped(block.text)}\n\n    {block.command}"


def _facts(block: Facts, _pictures: str) -> str:
    return "\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in block.pairs)


def _table(block: Table, _pictures: str) -> str:
    def cells(row: Row) -> list[str]:
        if row.kind == "group":
            return [f"**{_escaped(row.cells[0])}**", *[""] * (len(block.columns) - 1)]
        return [_escaped(cell) for cell in row.cells]

    table = markdown_table([_escaped(name) for name in block.columns], [cells(row) for row in block.rows])
    return f"**{_escaped(block.caption)}**\n\n{table}"


def _picture(block: Picture, pictures: str) -> str:
    return f"![{_escaped(block.description)}]({quote(pictures)}/{block.name}.png)\n\n{_escaped(block.caption)}"


def _drawing(block: Drawing, _pictures: str) -> str:
    return f"**{_escaped(block.title)}**\n\n{_escaped(block.description)}\n\n{_escaped(block.caption)}"


_WRITERS: dict[type[Any], Callable[[Any, str], str]] = {
    Text: _text,
    Notice: _notice,
    Missing: _missing,
    Facts: _facts,
    Table: _table,
    Picture: _picture,
    Drawing: _drawing,
}
