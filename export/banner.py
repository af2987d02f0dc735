"""The banner over an export whose weights are not the authors': what they are, why, and how to get the real ones."""

from __future__ import annotations

from rich import box
from rich.panel import Panel
from rich.text import Text

from radiodino.runtime.notice import NOTICES, notice_of
from radiodino.runtime.variants import Variant

from .settings import ExportSettings

_TITLES = {"random": "RANDOM WEIGHTS", "demo": "DEMONSTRATION WEIGHTS, NOT RADIO DINO'S"}


def kind_of(notice: str | None) -> str:
    """The kind of weights that `notice` is about, empty where there is none."""
    return next((kind for kind, sentence in NOTICES.items() if sentence == notice), "")


def weights_banner(settings: ExportSettings, kind: str, fallback_reason: str | None = None) -> Panel | None:
    """The banner for what `settings` export, None where the weights are what their name says.

    Args:
        settings: of the export.
        kind: of the weights that are exported, see `radiodino.runtime.notice`.
        fallback_reason: why the published weights cannot be had, where they were wanted; else None.
    """
    title = _TITLES.get(kind)
    if title is None:
        return None
    variant = settings.variant
    lines = [f"{settings.target} holds {notice_of(kind)}."]
    if fallback_reason is not None:
        lines.insert(
            0,
            f"The published weights of '{variant.name}' are not on this machine and could not be fetched "
            f"({fallback_reason}). No --weights were named, so the demonstration weights stand in for them.",
        )
    if kind == "demo":
        lines += _how_to_get_the_published(variant)
    return Panel(Text("\n\n".join(lines)), title=Text(title), box=box.DOUBLE, style="bold red")


def _how_to_get_the_published(variant: Variant) -> list[str]:
    if variant.published is None:
        return []
    return [
        f"For the published weights: run  radiodino-export fetch --variant {variant.name}  on a machine with internet, "
        "copy its RADIODINO_HOME folder here, and export with --weights published."
    ]
