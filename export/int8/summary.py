"""What a person is told of an int8 file: what was quantised, what it cost, and how it was judged."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

from radiodino.runtime.quantisation_info import GateMeasure, QuantisationInfo


def gate_table(info: QuantisationInfo) -> Table:
    """A row for each measure: what was demanded, and what each engine gives."""
    table = Table("measure", "at least", title="int8 against PyTorch fp32, on images that it was not calibrated on")
    rows: dict[str, list[GateMeasure]] = {}
    for result in info.gate:
        images = max(measure.images for measure in result.measures)
        arithmetic = result.compute if result.optimised else f"{result.compute}, not optimised"
        table.add_column(f"{result.engine.partition(' ')[0]}\n{arithmetic}\n{images} images")
        for measure in result.measures:
            rows.setdefault(measure.name, []).append(measure)
    for name, measures in rows.items():
        judged = measures[0]
        clear = f" ({judged.images} clear)" if name.startswith("same") else ""
        wanted = "too few images" if judged.limit is None else f"{judged.limit:g}"
        table.add_row(f"{name}{clear}", wanted, *(_value(measure) for measure in measures))
    return table


def quantisation_lines(info: QuantisationInfo) -> dict[str, str]:
    """What is in 8 bits and on which images that was chosen, by a word for each line."""
    smoothed = sum(layer.alpha is not None for layer in info.layers)
    ranges = Counter(layer.method for layer in info.layers)
    lines = {
        "int8": (
            f"{len(info.layers)} layers, {1 - info.float_share:.1%} of the multiply-adds; ranges by "
            + ", ".join(f"{method} ({count})" for method, count in ranges.most_common())
            + (f"; SmoothQuant in {smoothed}" if smoothed else "")
        )
    }
    if info.method == "static":
        lines["float"] = (
            f"put back so that the gate holds: {', '.join(info.kept_float)}, {info.kept_share:.1%} of the multiply-adds"
            if info.kept_float
            else "no layer had to be put back"
        )
    if info.calibration is not None:
        images = info.calibration
        lines["images"] = (
            f"{images.count} to calibrate on, {images.held_out} to judge by, of {', '.join(images.sources)} (seed "
            f"{images.seed}, SHA-256 {images.sha256})"
        )
    return lines


def _value(measure: GateMeasure) -> str:
    return f"{measure.value:+.2%}" if "change" in measure.name else f"{measure.value:.5f}"
