"""The errors a user can cause or cure.

Each message is one sentence that names what was expected, what was found and the cure. The commands print it
without a traceback and exit with status 2 (`radiodino.runtime.console`).
"""

from __future__ import annotations


class RadioDinoError(Exception):
    """Base of every error that a user of this package can cause or cure."""


class MissingExtraError(RadioDinoError):
    """An optional dependency is not installed.

    Args:
        module: the module that could not be imported, for example ``"openvino"``.
        extra: the extra of this package that brings it, for example ``"cpu"``.
    """

    def __init__(self, module: str, extra: str) -> None:
        from .install_command import install_command

        super().__init__(f"{module} is not installed: run  {install_command(extra)}")
        self.module = module
        self.extra = extra


class InputError(RadioDinoError):
    """An argument or an array has the wrong type, shape or value."""


class UnreadableImageError(RadioDinoError):
    """One image cannot be decoded; a long run lists it and goes on.

    Args:
        reason: what is wrong, as a phrase without patient data ("the pixel data are truncated").
        source: the name of the image (a path, never a value read from the file), where it is known.
    """

    def __init__(self, reason: str, source: str | None = None) -> None:
        super().__init__(f"cannot read {source}: {reason}" if source else reason)
        self.reason = reason
        self.source = source


class DecodingNotice(UserWarning):
    """What a user must know of an image: what its file does not state and decoding decided, or that it is blank."""


class ModelFileError(RadioDinoError):
    """An exported file is missing, damaged, altered, foreign, or of an unknown schema."""


class IndexFileError(RadioDinoError):
    """An index of cases is missing, damaged, of an unknown version, or was made with another model."""


class BackendError(RadioDinoError):
    """What was asked of an inference backend is not active on this machine."""


class OutputError(RadioDinoError):
    """A result cannot be written where it was asked for."""


class DicomSourceError(OutputError):
    """No DICOM object can be derived from this image; a long run lists it and goes on."""


class WeightsError(RadioDinoError):
    """Weights cannot be found, read, or fitted to the variant that was asked for."""


class UnreachableWeightsError(WeightsError):
    """Published weights are neither local nor to be had from their source now; a damaged file is another error.

    Args:
        sentence: with the cure, as of every error.
        reason: why they are not to be had, as a phrase; by default the sentence.
    """

    def __init__(self, sentence: str, reason: str | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason or sentence


class VerificationError(RadioDinoError):
    """An export differs from the PyTorch original by more than its tolerance."""
