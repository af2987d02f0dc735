"""What a legend says, in words for people."""

from __future__ import annotations

from collections.abc import Iterator

from ..notice import marked
from ..tasks.classification import THRESHOLD, Classification
from .legend import AMBER, GREY, RED, Text


def class_parts(found: Classification) -> Iterator[Text]:
    """The class with its probability, and those of the others."""
    yield Text(f"{found.label}  {percent(found.probability)}", large=True)
    others = ",  ".join(
        f"{name} {percent(float(value))}"
        for name, value in zip(found.classes, found.probabilities, strict=True)
        if name != found.label
    )
    decided = f"; {found.classes[1]} is said from its threshold on" if found.decided_by == THRESHOLD else ""
    yield Text(f"{others}{decided}", GREY)


def closing_parts(remark: str | None, notice: str | None) -> Iterator[Text]:
    """What is said below every picture."""
    if remark:
        yield Text(f"{remark[0].upper()}{remark[1:]}", AMBER)
    yield Text(marked())
    if notice:
        yield Text(f"{notice[0].upper()}{notice[1:]}", RED)


def percent(probability: float) -> str:
    """A probability for people; never 0 % or 100 % of what is neither."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < probability < 1 else f"{100 * probability:.1f} %"


def area_text(square_millimetres: float) -> str:
    """An area in mm², or in cm² from 100 mm² on, with three digits."""
    if square_millimetres >= 100:
        return f"{_three_digits(square_millimetres / 100)} cm²"
    return f"{_three_digits(square_millimetres)} mm²"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
