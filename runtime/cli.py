"""``radiodino-run``: what a workstation does with an exported file."""

from __future__ import annotations

import typer

from . import console as ending
from .commands.classify import classify
from .commands.doctor import doctor
from .commands.embed import embed
from .commands.explain import explain
from .commands.index import index
from .commands.info import info
from .commands.knn import knn
from .commands.search import search
from .commands.segment import segment

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run exported Radio DINO files, offline and without PyTorch. Research use only, not for diagnosis.",
)

for command in (embed, classify, segment, explain, index, search, knn, info, doctor):
    app.command()(command)


def main() -> None:
    """Entry point of ``radiodino-run``."""
    ending.run(app)
