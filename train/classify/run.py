"""A whole fine-tuning: weights, images, folds, and what came of them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError
from radiodino.runtime.folder import make_folder
from radiodino.runtime.variants import get_variant

from ..data.labelled import LabelledImages, labelled_images
from ..data.splits import SPLITS, SplitSettings
from ..evaluate.outcome import write_outcome
from ..features.bar import Bar, no_bar
from ..features.device import choose_device, in_words
from ..settings import as_document
from ..weights.load import WeightsSource, load_weights
from .checkpoint import NAME, load_classifier, save_classifier
from .classifier import Classifier, new_head
from .document import describe
from .folds import Fold, make_folds
from .history import forget
from .inputs import FeatureInputs, ImageInputs, Inputs
from .loop import train_one
from .predict import predict
from .recipe import Recipe
from .run_folder import begin, digest, fold_folder, refuse_run, write_images
from .summary import summarise, table

_HEAD = 2  # a purpose of random numbers, see `inputs`


@dataclass(frozen=True)
class Finetuned:
    """What came of it."""

    checkpoint: Path
    """The classifier of the fold with the lowest validation loss."""
    outcome: Path
    """The JSON file of the results; the same as a table lies beside it."""
    table: str
    is_first: bool
    """Whether this process is the first of several, which tells the user."""


def _nobody(_line: str) -> None:
    pass


def finetune(
    recipe: Recipe,
    inputs: Sequence[str],
    out: Path,
    *,
    weights: str = "published",
    checkpoint_key: str | None = None,
    split: SplitSettings | None = None,
    references: Mapping[str, float] | None = None,
    resume: bool = False,
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    cache: Path | None = None,
    bar: Bar = no_bar,
    say: Callable[[str], None] = _nobody,
) -> Finetuned:
    """Fine-tune a backbone with a linear head on labelled images (paper, section 4.1).

    Args:
        recipe: every number of it.
        inputs: labelled images, see `radiodino.train.data.labelled.labelled_images`.
        out: the folder of the run; it ends with `NAME`, ``finetune.json``, ``finetune.md``, ``images.csv``, and a
            folder for each fold with its log and its own `NAME`.
        weights: of the backbone, see `radiodino.train.weights.load.load_weights`.
        checkpoint_key: likewise.
        split: for images without a split of their own; None takes its defaults.
        references: metrics to be tested against a value, 0..1.
        resume: go on with the run there, exactly.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        devices: processes per node; under torchrun or SLURM what those say counts.
        nodes: machines.
        cache: where decoded images are kept; None: in `RADIODINO_HOME`.
        bar: shows how far it is.
        say: is told, line by line, which device computes and what to know of images and weights.

    Raises:
        InputError: a wrong recipe, image or device, or images too few for the folds.
        WeightsError: the weights cannot be had.
        OutputError: the folder cannot be written, or holds another run.
        TrainingError: a loss is not finite.
        KeyboardInterrupt: on an interrupt; what was finished is kept.
    """
    references, split = references or {}, split or SplitSettings()
    if references and recipe.folds < 2:
        raise InputError("a t-test needs at least 2 folds, found 1: raise --folds or drop --reference")
    fabric = _fabric(recipe, choose_device(accelerator), devices, nodes)
    if not fabric.is_global_zero:
        bar, say = no_bar, _nobody
    say(f"device   {in_words(fabric.device)}, training in {recipe.precision}, validation and test in float32")

    if fabric.is_global_zero and not resume:
        refuse_run(out)

    # The backbone, and the images.
    variant = get_variant(recipe.variant)
    with fabric.rank_zero_first(local=True):
        backbone, source = load_weights(
            variant, weights, image_size=recipe.image_size, seed=recipe.seed, checkpoint_key=checkpoint_key
        )
    if source.notice:
        say(f"WARNING  {source.notice}")
    with fabric.rank_zero_first(local=True), bar("decoding") as progress:
        labelled = labelled_images(
            inputs,
            recipe.image_size,
            fractions=split.fractions,
            seed=split.seed,
            group=split.group,
            cache=cache,
            progress=progress,
        )
    for note in labelled.images.notes():
        say(f"note     {note}")
    folds = make_folds(labelled, recipe.folds, recipe.seed, split.group)
    _refuse_undefined(labelled, folds[0].test, references)
    if fabric.is_global_zero:
        begun = {
            "recipe": as_document(recipe),
            "inputs": list(inputs),
            "weights": asdict(source),
            "split": asdict(split),
            "images": digest(labelled),
        }
        begin(out, begun)
        write_images(out, labelled, folds)

    # What the networks are fed: images, or the features of the frozen backbone, which are the same in all folds.
    fed: Inputs = ImageInputs(labelled.images.pixels, recipe.augment, recipe.seed)
    places = [fold_folder(out, number) for number in range(1, len(folds) + 1)]
    finished = [(place / NAME).exists() for place in places]
    fabric.barrier()  # before any process finishes a fold
    if recipe.freeze_backbone and not all(finished):
        say("frozen   features are computed once, without augmentation")
        with bar("features") as progress:
            everything = np.arange(len(labelled.targets))
            backbone.to(fabric.device)
            features = predict(fabric, backbone, fed, everything, recipe.batch_size, progress)
        fed = FeatureInputs(torch.from_numpy(features))

    # The folds.
    job = _Job(fabric, recipe, labelled, inputs, fed, backbone, source)
    for number, (fold, place, done) in enumerate(zip(folds, places, finished, strict=True), 1):
        if done:
            say(f"fold {number}   was finished before")
            continue
        with bar(f"fold {number} of {len(folds)}") as progress:
            job.run(fold, number, place, progress)

    # What came of them.
    documents = [load_classifier(place)[1] for place in places]
    results = summarise(documents, references)
    text = table(results)
    outcome = out / "finetune.json"
    if fabric.is_global_zero:
        with atomic_path(out / NAME, overwrite=True) as temporary:
            shutil.copyfile(places[results["best_fold"] - 1] / NAME, temporary)
        settings = {
            "recipe": as_document(recipe),
            "weights": asdict(source),
            "references": dict(references),
            "split": asdict(split),
        }
        outcome = write_outcome(
            out, "finetune", settings=settings, data=_data(labelled, inputs), results=results, table=text
        )
    fabric.barrier()
    return Finetuned(out / NAME, outcome, text, fabric.is_global_zero)


@dataclass(frozen=True)
class _Job:
    """What all folds share."""

    fabric: Any
    recipe: Recipe
    labelled: LabelledImages
    inputs: Sequence[str]
    fed: Inputs
    backbone: nn.Module
    """As it was loaded."""
    source: WeightsSource

    def run(self, fold: Fold, number: int, place: Path, progress: Callable[[int, int], None]) -> None:
        """Train, test and write one fold's classifier."""
        fabric, recipe, labelled = self.fabric, self.recipe, self.labelled
        head = new_head(get_variant(recipe.variant).embedding_size, len(labelled.classes), recipe.seed, number, _HEAD)
        classifier = Classifier(copy.deepcopy(self.backbone), head)
        network = head if recipe.freeze_backbone else classifier
        make_folder(place)
        history = train_one(fabric, network, self.fed, labelled.targets, fold, number, recipe, place, progress)
        val, test = (predict(fabric, network, self.fed, part, recipe.batch_size) for part in (fold.val, fold.test))
        if fabric.is_global_zero:
            document = describe(recipe, labelled, self.inputs, fold, number, self.source, history, val, test)
            save_classifier(place / NAME, classifier, document)
            forget(place)
        fabric.barrier()


def _fabric(recipe: Recipe, device: torch.device, devices: int, nodes: int) -> Any:
    from lightning_fabric import Fabric

    fabric = Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=nodes,
        precision=recipe.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _refuse_undefined(labelled: LabelledImages, test: NDArray[np.int64], references: Mapping[str, float]) -> None:
    absent = [name for name, count in labelled.class_counts(test).items() if not count]
    if absent and "auc" in references:
        raise InputError(
            f"no test image is of the class '{absent[0]}', which leaves the AUC undefined: drop its --reference, or "
            "choose another split"
        )


def _data(labelled: LabelledImages, inputs: Sequence[str]) -> dict[str, Any]:
    return {
        "inputs": list(inputs),
        "classes": list(labelled.classes),
        "images": len(labelled.targets),
        "split": labelled.origin,
        "class_counts": {part: labelled.class_counts(labelled.where(part)) for part in SPLITS},
        "unreadable": labelled.images.unreadable,
        "remarks": list(labelled.images.remarks),
    }
