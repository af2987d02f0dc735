"""From weights and images to pictures, a result file and a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import InputError
from radiodino.runtime.folder import make_folder

from ..evaluate.outcome import write_outcome
from ..features.bar import Bar, no_bar
from ..features.device import choose_device, in_words
from ..weights.wording import some_of
from .draw import draw_attention, draw_pca, draw_umap
from .draw_grad_cam import draw_grad_cam, open_classifier
from .settings import Settings
from .table import explain_table
from .work import Work

_DRAWN: dict[str, Callable[[Work], dict[str, Any]]] = {
    "attention": draw_attention,
    "pca": draw_pca,
    "umap": draw_umap,
}


@dataclass(frozen=True)
class Explained:
    """What was written."""

    outcome: Path
    """The JSON file; the table is beside it."""
    files: tuple[Path, ...]
    """Pictures and coordinates."""
    notes: tuple[str, ...]
    """What a user must be told of the images."""
    warning: str | None
    """What must be said of the weights, see `radiodino.runtime.notice`."""


def explain(
    settings: Settings,
    data: Sequence[str],
    masks: Sequence[str],
    out: Path,
    *,
    cache: Path | None = None,
    bar: Bar = no_bar,
    say: Callable[[str], None] = lambda _line: None,
) -> Explained:
    """Draw the pictures that `settings` ask for into `out`, with ``explain.json`` and ``explain.md``.

    Args:
        settings: every choice.
        data: images, as `radiodino.train.data.listing.list_data` takes them; where there are none, the images of
            `masks` are drawn throughout.
        masks: images with masks, as `radiodino.train.data.mask_pairs.open_pairs` takes them, for Grad-CAM; may be none.
        out: made where it is not there yet.
        cache: where decoded images are kept; None: in `RADIODINO_HOME`.
        bar: shows progress.
        say: is told what a user should know before it takes long: which device computes.

    Raises:
        InputError: where neither data nor masks are named, or none of the images can be read, or see `Settings`.
        WeightsError: where the weights cannot be read or are no classifier, though Grad-CAM is asked for.
        OutputError: where `out` cannot be written.
    """
    if not data and not masks:
        raise InputError("name the images with --data, or images with masks with --masks")
    make_folder(out)
    device = choose_device(settings.accelerator)
    say(f"device   {in_words(device)}")
    work = Work(settings, tuple(data), tuple(masks), out, device, cache, bar)
    drawn = dict(_DRAWN)
    if "gradcam" in settings.pictures:
        drawn["gradcam"] = partial(draw_grad_cam, opened=open_classifier(settings))  # refused before anything is drawn
    results = {picture: drawn[picture](work) for picture in dict.fromkeys(settings.pictures)}
    source = work.sources[0]
    outcome = write_outcome(
        out,
        "explain",
        settings={
            **asdict(settings),
            "variant": settings.variant.name,
            "weights": asdict(source),
            "device": in_words(device),
        },
        data={
            "inputs": list(data),
            "masks": list(masks),
            "unreadable": work.unreadable,
            "notices": work.decoding,
            "remarks": list(work.remarks),
        },
        results=results,
        table=explain_table(results),
    )
    left_out = [f"{name} ({reason})" for name, reason in work.unreadable.items()]
    left = [f"{len(left_out)} images were left out: {some_of(left_out)}; all are in {outcome}"] if left_out else []
    return Explained(outcome, tuple(work.files), (*work.remarks, *left), source.notice)
