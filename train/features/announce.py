"""What a user is told of a source before it computes."""

from __future__ import annotations

import typer

from .source import FeatureSource


def announce(source: FeatureSource) -> None:
    """Say on standard error what computes what, and that random weights have learned nothing."""
    typer.echo(
        f"model    {source.name}: {source.size} features of {source.image_size} px images, on {source.device}", err=True
    )
    found = source.describe()
    if "random" in (found["kind"], found.get("weights_kind")):
        typer.secho("WARNING  random weights: this network has learned nothing", fg="red", bold=True, err=True)
