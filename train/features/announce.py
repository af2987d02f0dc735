"""What a user is told of a source before it computes."""

from __future__ import annotations

import typer

from radiodino.runtime.notice import notice_of

from .source import FeatureSource


def announce(source: FeatureSource) -> None:
    """Say on standard error what computes what, and what must be said of its weights."""
    typer.echo(
        f"model    {source.name}: {source.size} features of {source.image_size} px images, on {source.device}", err=True
    )
    found = source.describe()
    if notice := found.get("notice") or notice_of(found.get("weights_kind") or found["kind"]):
        typer.secho(f"WARNING  {notice}", fg="red", bold=True, err=True)
