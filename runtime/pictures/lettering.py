"""Text in a picture: the font, and lines that fit."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import ImageFont

from ..errors import BackendError

_PLAIN = {"–": "-", "—": "-", "×": "x", "’": "'", "“": '"', "”": '"', "ß": "ss"}


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that Pillow brings, so that a picture looks the same on every machine.

    Raises:
        BackendError: this Pillow was built without FreeType.
    """
    found = ImageFont.load_default(size)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise BackendError("this Pillow was built without FreeType and cannot write text: install Pillow from a wheel")
    return found


def wrapped(text: str, size: int, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels; a word that is longer is broken."""
    letters = font(size)
    lines: list[str] = []
    line = ""
    for word in drawable(text).split() or [""]:
        longer = f"{line} {word}".strip()
        if letters.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while letters.getlength(word) > width and len(word) > 1:
            fitting = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or letters.getlength(word[:n]) <= width)
            lines.append(word[:fitting])
            word = word[fitting:]
        line = word
    return [*lines, line]


def drawable(text: str) -> str:
    """`text` in the letters that PIL's own font has, which are ASCII: accents are left out, others are codes."""
    return "".join(map(_letters, unicodedata.normalize("NFKC", text)))


def _letters(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()
