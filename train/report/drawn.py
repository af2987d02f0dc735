"""One picture that ``explain`` drew: whose it is, of which images, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from radiodino.runtime.errors import InputError

from .datasets import OTHER, last_part, recognised
from .explain_document import DrawnPicture, ExplainDocument, GradCamPicture
from .material import Material
from .models import Model, from_weights
from .needed import needed
from .outcomes import Outcome

COMMAND = "radiodino-train explain"
GRAD_CAM = "gradcam"
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Drawn:
    """One picture of one run."""

    run: Outcome[ExplainDocument]
    picture: str
    """The entry of the results: ``attention``, ``gradcam``, ``pca`` or ``umap``."""
    dataset: str | None
    """Of the paper; None where the images are of none."""

    @property
    def model(self) -> Model:
        """Whose picture it is."""
        return from_weights(self.run.document.settings.weights, self.run.document.settings.variant)

    @property
    def data(self) -> str:
        """The images as a person calls them."""
        return ", ".join(dict.fromkeys(map(last_part, _inputs(self.run, self.picture))))

    def entry(self) -> DrawnPicture:
        """What is recorded of any picture.

        Raises:
            InputError: where it is not what ``explain`` writes.
        """
        return needed(DrawnPicture, self._recorded, self.run.file, COMMAND, f"results.{self.picture}.")

    def grad_cam(self) -> GradCamPicture:
        """What is recorded beside that of Grad-CAM.

        Raises:
            InputError: likewise.
        """
        return needed(GradCamPicture, self._recorded, self.run.file, COMMAND, f"results.{self.picture}.")

    def read_png(self) -> bytes:
        """The file.

        Raises:
            InputError: where its name leads elsewhere, or there is no such PNG file.
        """
        name, document = self.entry().file, self.run.file
        path = self.run.folder / name
        if not name or "\\" in name or Path(name).name != name:
            raise InputError(f"{document} names the picture '{name}', which is no file beside it: make it again")
        try:
            found = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"{document} names the picture {name}, which cannot be read ({error.strerror or error}): put it back "
                f"beside it, or run {COMMAND} again"
            ) from None
        if not found.startswith(_PNG):
            raise InputError(f"{path} is no PNG file: run {COMMAND} again")
        return found

    @property
    def _recorded(self) -> object:
        return self.run.document.results[self.picture]


def drawn(material: Material, picture: str) -> list[Drawn]:
    """All pictures of one kind, in the order of the folders."""
    return [
        Drawn(run, picture, _dataset(material, run, picture))
        for run in material.outcomes.explain
        if picture in run.document.results
    ]


def _inputs(run: Outcome[ExplainDocument], picture: str) -> tuple[str, ...]:
    """Grad-CAM takes the images with masks where there are any, the others the data."""
    data = run.document.data
    return (data.masks or data.inputs) if picture == GRAD_CAM else (data.inputs or data.masks)


def _dataset(material: Material, run: Outcome[ExplainDocument], picture: str) -> str | None:
    said = material.said(run)
    if said is None:
        return recognised(_inputs(run, picture))
    return None if said == OTHER else said
