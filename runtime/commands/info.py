"""``radiodino-run info``: what a file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .. import console as ending
from .running import warn


def info(
    model: Annotated[Path, typer.Argument(help="A file that radiodino-export wrote.")],
) -> None:
    """Show what a file says of itself, as JSON."""
    from ..model_file import read_model_file
    from ..model_info import parse_model_info

    file = read_model_file(model)
    if file.document is None:
        ending.fail(f"{model} carries no radiodino metadata: make it with radiodino-export")
    notice = parse_model_info(file.document, model).notice
    engine = {} if file.engine is None else {"engine": json.loads(file.engine)}
    shown = {"sha256": file.sha256} | engine | json.loads(file.document) | {"notice": notice}
    typer.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    warn(notice, err=True)
