"""The model card of the demonstration weights, written from their record alone, so that the two cannot disagree."""

from __future__ import annotations

import json

from radiodino.train.evaluate.outcome import markdown_table
from radiodino.train.weights.demonstration import Demonstration, Measured

_ABOUT = """\
A vision transformer with the architecture of '{variant}', pretrained without labels by this project's own
`radiodino-train pretrain` on few public images, so that the tools can be tried on real features where the published
weights cannot be had. It says nothing of how good Radio DINO is. **Research use only. Not a medical device: not for
clinical use, not for diagnosis, screening, triage or treatment decisions.**"""


_HEADS = """\
A head is stored with the document of its training. The figures in that document were measured with the head in fp32 on
the backbone as it is stored here (rounded to fp16); the head is stored in fp16 as well, so that a file exported from it
may differ from them in the last digits."""


def demo_card(record: Demonstration) -> str:
    """The card in Markdown; where a figure falls short of what was asked for, its first line says so."""
    parts = [
        _title(record),
        *(f"Short: {figure.what} is {figure.demo:g}, asked for {figure.at_least:g}." for figure in _short(record)),
        _ABOUT.format(variant=record.variant),
        *record.remarks,
        f"Licence of the weights: {record.licence}",
        "## Files",
        _files(record),
        *([_HEADS] if any(file.holds == "head" for file in record.files.values()) else []),
        "## Data",
        _data(record),
        "## Measured",
        "On images that no training saw; `random` is the same network untrained, `pixels` are raw 32×32 pixels.",
        _measured(record),
        "## Training",
        _training(record),
        "```bash\n" + "\n".join(record.commands) + "\n```",
        "The mean loss, from the beginning of the run to its end:",
        _loss_curve(record),
        "Every number of the recipe:",
        "```json\n" + json.dumps(record.recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _title(record: Demonstration) -> str:
    short = len(_short(record))
    falls = f" THAT FALL SHORT in {short} of {len(record.measured)} figures" if short else ""
    if not any(figure.at_least is not None for figure in record.measured):
        falls = " NOT MEASURED against what was asked of them"
    return (
        f"# Demonstration weights{falls} (`{record.variant}`): "
        "a demonstration, not Radio DINO's weights, not for clinical use"
    )


def _short(record: Demonstration) -> list[Measured]:
    return [figure for figure in record.measured if figure.at_least is not None and not figure.demo >= figure.at_least]


def _files(record: Demonstration) -> str:
    rows = [(name, file.holds, f"{file.size:,}", file.sha256) for name, file in sorted(record.files.items())]
    return markdown_table(("file", "holds", "bytes", "SHA-256"), rows)


def _data(record: Demonstration) -> str:
    rows = [(data.name, data.source, data.licence, f"{data.images:,}") for data in record.data]
    return markdown_table(("set", "source", "licence", "images trained on"), rows)


def _measured(record: Demonstration) -> str:
    rows = [
        (figure.what, *map(_number, (figure.demo, figure.random, figure.pixels, figure.at_least)))
        for figure in record.measured
    ]
    return markdown_table(("figure", "demonstration", "random", "pixels", "asked for"), rows)


def _training(record: Demonstration) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    length = f"{record.samples:,} samples in {record.steps:,} steps"
    return f"{length}, seed {record.seed}, on {record.machine}, with {versions}."


def _loss_curve(record: Demonstration) -> str:
    """A chart where Mermaid is understood, a list of numbers elsewhere."""
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'  x-axis "samples" 0 --> {record.samples}',
            '  y-axis "loss"',
            f"  line [{', '.join(_number(loss) for _, loss in record.loss)}]",
            "```",
        ]
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"
