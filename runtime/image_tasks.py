"""Images in, answers out: embeddings, classes, masks, heat maps. All take images in the same ways.

`images` is one image, a list or tuple of images, or an iterator of any length. An image is a path, encoded bytes, a
binary stream, a PIL image, a DICOM dataset, or a uint8/uint16 array (H, W) or (H, W, 3). One image alone may have
several frames (DICOM, TIFF, an array (n, H, W) or (n, H, W, 3)). For an iterator the answer is a generator that holds
a few batches in memory; otherwise it has an entry for each image, or for each frame of one image alone. A file with
several heads runs once for each batch, whatever is asked of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InputError
from .frame import Window
from .image_inputs import ImageReader, InputImage, in_batches, is_one_image
from .model_info import LoadedInfo
from .tasks.heads import classifier_of, explanation_kind, segmenter_of, target_class

if TYPE_CHECKING:  # each task imports its own: a cold start waits for none that is not asked for
    from .decode import ImageSource
    from .tasks.classification import Classification
    from .tasks.explanation import Explanation
    from .tasks.segmentation import Segmentation

Array = NDArray[np.float32]
_Answer = TypeVar("_Answer")


class ImageTasks:
    """What `radiodino.runtime.Model` does with images."""

    info: LoadedInfo
    preprocess: Callable[[Image.Image], NDArray[np.float32 | np.uint8]]

    def run(self, batch: NDArray[np.float32 | np.uint8]) -> dict[str, Array]:
        """The bare network."""
        raise NotImplementedError

    @overload
    def embed(  # type: ignore[overload-overlap]  # a binary stream is an iterator too, of lines; it is one image
        self,
        images: Iterator[ImageSource],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> Iterator[Array]: ...
    @overload
    def embed(
        self,
        images: ImageSource | list[Any] | tuple[Any, ...],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> Array: ...
    def embed(
        self, images: Any, batch_size: int = 8, *, window: Window | None = None, frame: int | None = None
    ) -> Array | Iterator[Array]:
        """The embedding (normalised CLS token) of each image.

        Args:
            images: as the module says.
            batch_size: images per inference; a larger batch pays on a GPU, hardly on a CPU.
            window: centre and width for DICOM images, in place of the file's own.
            frame: which frame of a file with several, counted from 1.

        Returns:
            For an iterator a generator of float32 (D,), otherwise a float32 array (n, D).

        Raises:
            UnreadableImageError: an image cannot be decoded.
            InputError: a wrong argument, or an image with several frames among others and no `frame` to choose.

        Warns:
            DecodingNotice: something was decided that an image does not state, such as its grey window; or it is blank.
        """
        reader = ImageReader(self.preprocess, window, frame)
        rows = self._each(images, lambda _, outputs: outputs["embedding"], reader, batch_size)
        if isinstance(rows, list):
            return np.stack(rows) if rows else np.empty((0, self.info.embedding_size), np.float32)
        return rows

    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        images: Iterator[ImageSource],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> Iterator[Classification]: ...
    @overload
    def classify(
        self,
        images: ImageSource | list[Any] | tuple[Any, ...],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> list[Classification]: ...
    def classify(
        self, images: Any, batch_size: int = 8, *, window: Window | None = None, frame: int | None = None
    ) -> list[Classification] | Iterator[Classification]:
        """The class of each image, with the probability of every class. Research use only, not for diagnosis.

        Args:
            images: as the module says.
            batch_size: as for `embed`.
            window: as for `embed`.
            frame: as for `embed`.

        Returns:
            For an iterator a generator of classifications, otherwise a list.

        Raises:
            ModelFileError: the file has no classification head.
            UnreadableImageError: as for `embed`.
            InputError: as for `embed`.

        Warns:
            DecodingNotice: as for `embed`.
        """
        from .tasks.classification import classification

        head = classifier_of(self.info)
        reader = ImageReader(self.preprocess, window, frame)
        return self._each(
            images, lambda _, outputs: classification(outputs, head, self.info.notice), reader, batch_size
        )

    @overload
    def segment(  # type: ignore[overload-overlap]
        self,
        images: Iterator[ImageSource],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> Iterator[Segmentation]: ...
    @overload
    def segment(
        self,
        images: ImageSource | list[Any] | tuple[Any, ...],
        batch_size: int = ...,
        *,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> list[Segmentation]: ...
    def segment(
        self, images: Any, batch_size: int = 8, *, window: Window | None = None, frame: int | None = None
    ) -> list[Segmentation] | Iterator[Segmentation]:
        """The mask of each image in the image's own geometry, with its area. Research use only, not for diagnosis.

        A mask and its probabilities take five bytes a pixel of the image as it was given: of many images take the
        generator.

        Args:
            images: as the module says.
            batch_size: as for `embed`.
            window: as for `embed`.
            frame: as for `embed`.

        Returns:
            For an iterator a generator of segmentations, otherwise a list.

        Raises:
            ModelFileError: the file has no segmentation head.
            UnreadableImageError: as for `embed`.
            InputError: as for `embed`.

        Warns:
            DecodingNotice: as for `embed`, and where something must be known of the distance of an image's pixels.
        """
        from .tasks.classification import classification_beside
        from .tasks.segmentation import segmentation

        head = segmenter_of(self.info)

        def answer(image: InputImage, outputs: Mapping[str, Array]) -> Segmentation:
            return segmentation(
                outputs,
                head,
                size=image.size,
                spacing=image.spacing,
                spacing_notice=image.spacing_notice,
                classified=classification_beside(outputs, self.info),
                notice=self.info.notice,
            )

        return self._each(images, answer, ImageReader(self.preprocess, window, frame, measures=True), batch_size)

    @overload
    def explain(  # type: ignore[overload-overlap]
        self,
        images: Iterator[ImageSource],
        batch_size: int = ...,
        *,
        kind: str | None = ...,
        label: str | None = ...,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> Iterator[Explanation]: ...
    @overload
    def explain(
        self,
        images: ImageSource | list[Any] | tuple[Any, ...],
        batch_size: int = ...,
        *,
        kind: str | None = ...,
        label: str | None = ...,
        window: Window | None = ...,
        frame: int | None = ...,
    ) -> list[Explanation]: ...
    def explain(
        self,
        images: Any,
        batch_size: int = 8,
        *,
        kind: str | None = None,
        label: str | None = None,
        window: Window | None = None,
        frame: int | None = None,
    ) -> list[Explanation] | Iterator[Explanation]:
        """A heat map of each image in the image's own geometry. Research use only, not for diagnosis.

        Args:
            images: as the module says.
            batch_size: as for `embed`.
            kind: ``cam`` or ``attention``, which `Explanation` tells apart; None takes ``cam`` where the file gives it.
            label: the class that a ``cam`` speaks for; None takes the class that is said of each image.
            window: as for `embed`.
            frame: as for `embed`.

        Returns:
            For an iterator a generator of explanations, otherwise a list.

        Raises:
            ModelFileError: the file does not give such a map.
            UnreadableImageError: as for `embed`.
            InputError: as for `embed`; or there is no such kind or class.

        Warns:
            DecodingNotice: as for `embed`.
        """
        from .tasks.classification import classification_beside
        from .tasks.explanation import explanation

        kind = explanation_kind(self.info, kind)
        target = target_class(self.info, kind, label)

        def answer(image: InputImage, outputs: Mapping[str, Array]) -> Explanation:
            return explanation(
                outputs,
                kind,
                target=target,
                size=image.size,
                classified=classification_beside(outputs, self.info),
                notice=self.info.notice,
            )

        return self._each(images, answer, ImageReader(self.preprocess, window, frame), batch_size)

    def _each(
        self,
        images: Any,
        answer: Callable[[InputImage, Mapping[str, Array]], _Answer],
        reader: ImageReader,
        batch_size: int,
    ) -> list[_Answer] | Iterator[_Answer]:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        inputs = reader.read(images, ahead=2 * batch_size)
        answers = (answer(image, outputs) for image, outputs in in_batches(self.run, inputs, batch_size))
        return answers if isinstance(images, Iterator) and not is_one_image(images) else list(answers)
