"""The page as one HTML file that needs nothing else: pictures and style lie in it, and it runs no script."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from typing import Any

from .blocks import DISCLAIMER, Block, Drawing, Facts, Missing, Notice, Page, Picture, Row, Table, Text
from .style import STYLE

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # nothing from elsewhere, whatever is in it


def as_html(page: Page) -> str:
    """The whole file, for UTF-8; all text is escaped."""
    contents = "".join(
        f'<li><a href="#{escape(section.anchor)}">{escape(section.title)}</a></li>\n' for section in page.sections
    )
    parts = [
        '<!DOCTYPE html>\n<html lang="en-GB">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="color-scheme" content="light dark">\n',
        f"<title>{escape(page.title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n",
        f"<header>\n<h1>{escape(page.title)}</h1>\n",
        *map(_block, page.lead),
        f'</header>\n<nav aria-label="Contents">\n<ul>\n{contents}</ul>\n</nav>\n<main>\n',
    ]
    for section in page.sections:
        parts.append(f'<section id="{escape(section.anchor)}">\n<h2>{escape(section.title)}</h2>\n')
        parts += map(_block, section.blocks)
        parts.append("</section>\n")
    parts.append(f"</main>\n<footer>{escape(DISCLAIMER)}</footer>\n</body>\n</html>\n")
    return "".join(parts)


def _block(block: Block) -> str:
    return _WRITERS[type(block)](block)


def _text(block: Text) -> str:
    return f"<p>{escape(block.text)}</p>\n"


def _notice(block: Notice) -> str:
    return f'<p class="notice" role="note">{escape(block.text)}</p>\n'


def _missing(block: Missing) -> str:
    return f'<p class="missing">{escape(block.text)} <code>{escape(block.command)}</code></p>\n'


def _facts(block: Facts) -> str:
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in block.pairs)
    return f"<dl>\n{pairs}</dl>\n"


def _table(block: Table) -> str:
    head = "".join(
        f'<th scope="col" class="{_class(block, place)}">{escape(name)}</th>'
        for place, name in enumerate(block.columns)
    )
    rows = "".join(_row(block, row) for row in block.rows)
    caption = escape(block.caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">\n'
        f"<table>\n<caption>{caption}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )


def _row(table: Table, row: Row) -> str:
    if row.kind == "group":
        return (
            f'<tr class="group"><th scope="rowgroup" colspan="{len(table.columns)}">{escape(row.cells[0])}</th></tr>\n'
        )
    cells = []
    for place, cell in enumerate(row.cells):
        tag = 'th scope="row"' if not place else "td"
        cells.append(f'<{tag} class="{_class(table, place)}">{escape(cell)}</{tag.split()[0]}>')
    return f'<tr class="{row.kind}">{"".join(cells)}</tr>\n'


def _class(table: Table, place: int) -> str:
    if table.columns[place] == "SHA-256":
        return "hash"
    return "word" if place < table.texts else "number"


def _picture(block: Picture) -> str:
    data = base64.b64encode(block.png).decode("ascii")
    return (
        f'<figure>\n<img src="data:image/png;base64,{data}" alt="{escape(block.description)}">\n'
        f"<figcaption>{escape(block.caption)}</figcaption>\n</figure>\n"
    )


def _drawing(block: Drawing) -> str:
    return (
        f'<figure class="drawing">\n<h3>{escape(block.title)}</h3>\n'
        f'<div role="img" aria-label="{escape(block.description)}">{block.svg}</div>\n'
        f"<figcaption>{escape(block.caption)}</figcaption>\n</figure>\n"
    )


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    Text: _text,
    Notice: _notice,
    Missing: _missing,
    Facts: _facts,
    Table: _table,
    Picture: _picture,
    Drawing: _drawing,
}
