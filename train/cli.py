"""``radiodino-train``: from self-supervised pretraining to the report, one subcommand each."""

from __future__ import annotations

import typer

from radiodino.runtime import console as ending

from .commands.distil import distil
from .commands.explain import explain
from .commands.finetune import finetune
from .commands.knn import knn
from .commands.pretrain import pretrain
from .commands.probe import probe
from .commands.report import report
from .commands.segment import segment
from .commands.split import split

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def train() -> None:
    """Train Radio DINO backbones on images of your own, and see what they are worth. Research use only.

    Data are split, backbones pretrained and distilled, and their features judged by nearest neighbours and logistic
    regression; they are fine-tuned to classify, segment lesions with a head, and show in pictures what they look at. A
    report puts the results beside the paper's.
    """


for command in (split, pretrain, distil, knn, probe, finetune, segment, explain, report):
    app.command()(command)


def main() -> None:
    """Entry point of ``radiodino-train``."""
    ending.run(app)


if __name__ == "__main__":  # torchrun -m radiodino.train.cli
    main()
