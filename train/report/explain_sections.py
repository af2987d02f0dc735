"""Figures 5 to 11: the pictures of ``explain``, embedded as they are (paper, sections 6 and 7.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .blocks import Block, Missing, Picture, Section, Text
from .cells import listed
from .drawn import COMMAND, GRAD_CAM, Drawn, drawn
from .grad_cam_dice import grad_cam_dice
from .material import Material
from .models import from_weights
from .paper_numbers import RADIMAGENET

_UMAP = {RADIMAGENET: 6, "PneumoniaMNIST": 7, "OrganAMNIST": 8, "OrganCMNIST": 9}
"""The paper's figure of each data set."""


@dataclass(frozen=True)
class _Figure:
    picture: str
    """The entry of the results."""
    title: str
    paper: str
    """What the paper's figure shows, as a sentence."""
    options: str
    """What makes ours, after ``radiodino-train explain``."""

    @property
    def command(self) -> str:
        """What makes ours."""
        return f"{COMMAND} {self.options}"


_FIGURES = {
    "figure-5": _Figure(
        "pca",
        "Figure 5: patch embeddings as colours",
        "The paper's figure 5 shows the three principal components of the patch embeddings of four models on four "
        "images of RadImageNet as colours.",
        "--weights WEIGHTS --pictures pca --data DATA --out FOLDER",
    ),
    "figures-6-to-9": _Figure(
        "umap",
        "Figures 6 to 9: UMAP of the embeddings",
        "The paper's figures 6 to 9 show a UMAP of Radio DINO small on the test images of RadImageNet, PneumoniaMNIST, "
        "OrganAMNIST and OrganCMNIST.",
        "--weights WEIGHTS --pictures umap --data medmnist:pneumoniamnist:224 --split test --out FOLDER",
    ),
    "figure-10": _Figure(
        "attention",
        "Figure 10: attention maps",
        "The paper's figure 10 shows the attention of the CLS token by head in the last layer of Radio DINO small, "
        "fine-tuned on data sets of MedMNIST.",
        "--weights RUN/classifier.pth --pictures attention --data DATA --out FOLDER",
    ),
    "figure-11": _Figure(
        GRAD_CAM,
        "Figure 11 and section 7.4: Grad-CAM, and its Dice with the masks",
        "The paper's figure 11 shows Grad-CAM of fine-tuned Radio DINO on BUSI; its section 7.4 compares the maps at a "
        "threshold of 20 % with the masks.",
        "--weights RUN/classifier.pth --pictures gradcam --masks BUSI.zip --out FOLDER",
    ),
}


def figure(material: Material, anchor: str) -> Section:
    """One of the sections ``figure-5``, ``figures-6-to-9``, ``figure-10`` and ``figure-11``.

    Raises:
        InputError: where a picture is missing or no PNG file, or its record is not what ``explain`` writes.
    """
    about = _FIGURES[anchor]
    pictures = drawn(material, about.picture)
    if not pictures:
        text = f"{about.paper} None of the folders holds such a picture. It is made by:"
        return Section(anchor, about.title, (Missing(text, about.command),))
    blocks: list[Block] = [Text(about.paper)]
    for place, one in enumerate(pictures, 1):
        blocks.append(_picture(material, one, about, f"{anchor}-{place}"))
        blocks += _said_of_weights(material, one)
    if about.picture == "umap":
        blocks += _absent(pictures)
    elif about.picture == GRAD_CAM:
        blocks += grad_cam_dice(material, pictures, about.command)
    return Section(anchor, about.title, tuple(blocks))


def _picture(material: Material, one: Drawn, about: _Figure, name: str) -> Picture:
    entry, unreadable = one.entry(), len(one.run.document.data.unreadable)
    called, left = material.register.called(one.model), f", left out as unusable: {unreadable:,}" if unreadable else ""
    extra = ""
    if about.picture == "umap":
        number = _UMAP.get(one.dataset or "")
        extra = f" As the paper's figure {number}." if number else " The paper has no such figure of these data."
    caption = f"Ours, {one.run.name}: {called}, {one.data}, {entry.count:,} images, {entry.image_size} px{left}.{extra}"
    return Picture(name, one.read_png(), f"{about.title}, of {one.data}, drawn for {one.run.name}.", caption)


def _said_of_weights(material: Material, one: Drawn) -> list[Block]:
    """Of the weights, and of those that a classifier's fine-tuning began with."""
    found = material.notices([one.model])
    if GRAD_CAM not in one.run.document.results:
        return found
    began = Drawn(one.run, GRAD_CAM, None).grad_cam().classifier.weights
    if began is not None:
        origin = from_weights(began, one.run.document.settings.variant)
        classifier, weights = (material.register.number(model) for model in (one.model, origin))
        found.append(Text(f"The classifier M{classifier} was fine-tuned from the weights M{weights}."))
        found += material.notices([origin], began=True)
    return found


def _absent(pictures: Sequence[Drawn]) -> list[Block]:
    found = {one.dataset for one in pictures}
    absent = [f"{number} ({name})" for name, number in _UMAP.items() if name not in found]
    if not absent:
        return []
    plural = "s" if len(absent) > 1 else ""
    return [Text(f"Of the paper's figure{plural} {listed(absent)} there is no counterpart among the folders.")]
