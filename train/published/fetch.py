"""The authors' published weights, fetched once into `RADIODINO_HOME` and checked against their SHA-256 ever after."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from radiodino.runtime.errors import OutputError, UnreachableWeightsError, WeightsError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import Variant

from ..weights.backbone_state import backbone_state
from ..weights.read_checkpoint import read_checkpoint
from ..weights.sha256 import file_sha256
from .download_drive import download_from_drive
from .download_hub import download_from_hub
from .local_copy import PublishedCopy, local_copy, weights_folder, write_record
from .unreachable import unreachable

HUB = "https://huggingface.co"
DRIVE = "https://drive.usercontent.google.com"
PROBE_SECONDS = 5.0  # leaves time to start and to answer within 10 seconds where there is no network
TIMEOUT_SECONDS = 30.0  # of silence during a download

_DOWNLOADS = {"hf_hub": download_from_hub, "gdrive": download_from_drive}


def published_copy(
    variant: Variant,
    *,
    progress: bool = True,
    hub: str | None = None,
    drive: str | None = None,
    probe_seconds: float = PROBE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> PublishedCopy:
    """The local copy of the published weights of `variant`, fetched first where there is none.

    A local copy is checked and returned without any network call. What is fetched is kept only where it is complete
    and a backbone of the variant; the file and a record of it then lie in ``RADIODINO_HOME/weights/VARIANT``. Proxies
    named in the environment are used, ``HF_HUB_OFFLINE`` is obeyed.

    Args:
        variant: whose weights.
        progress: whether to show a progress bar on the standard error stream.
        hub: address of the Hugging Face hub; by default ``HF_ENDPOINT``, else the public one.
        drive: address of Google Drive's downloads; by default the public one.
        probe_seconds: within how long the source must give any answer at all, name resolution included.
        timeout_seconds: the longest silence of the source during the download.

    Raises:
        UnreachableWeightsError: where the source cannot be reached, or gives no file.
        WeightsError: where there is no published source, it gives a file that is not the one stated or of no use, or
            the local copy is not what was fetched.
        OutputError: where the file cannot be stored.
        MissingExtraError: where torch or huggingface_hub is needed and not installed.
    """
    if variant.published is None:
        raise WeightsError(
            f"no weights of '{variant.name}' are published: give your own with --weights FILE, or try out with "
            "--weights random"
        )
    copy = local_copy(variant)
    if copy is not None:
        return copy
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _unreached(variant, "HF_HUB_OFFLINE forbids the network")
    kind, _, identifier = variant.published.partition(":")
    if kind not in _DOWNLOADS:
        raise WeightsError(f"'{variant.published}' is no known kind of source: expected hf_hub:... or gdrive:...")
    addresses = {"hf_hub": hub or os.environ.get("HF_ENDPOINT") or HUB, "gdrive": drive or DRIVE}
    address = addresses[kind].rstrip("/")
    if kind == "hf_hub":
        require("export", "huggingface_hub")
    silence = unreachable(address, probe_seconds)
    if silence is not None:
        raise _unreached(variant, silence)
    require("export", "torch")  # which looks at what was fetched; said before the download

    folder = weights_folder(variant)
    bar = f"weights of {variant.name}" if progress else None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
            try:
                file, revision = _DOWNLOADS[kind](
                    identifier, address, Path(scratch), bar=bar, timeout_seconds=timeout_seconds
                )
                _check_usable(file, variant)
            except UnreachableWeightsError as error:
                raise _unreached(variant, error.reason) from error
            except WeightsError as error:
                raise WeightsError(_unfetched(variant, str(error))) from error
            copy = PublishedCopy(
                folder=folder,
                file=file.name,
                source=variant.published,
                revision=revision,
                licence=variant.licence,
                sha256=file_sha256(file),
                size=file.stat().st_size,
                date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            folder.mkdir(exist_ok=True)
            os.replace(file, copy.path)
    except OSError as error:
        raise OutputError(
            f"cannot store weights in {folder}: {error.strerror or error}; free the space or set RADIODINO_HOME to a "
            "writable folder"
        ) from error
    write_record(copy)
    return copy


def _check_usable(file: Path, variant: Variant) -> None:
    """See that what was fetched is a backbone of the variant."""
    try:
        backbone_state(read_checkpoint(file), variant, source=file.name)
    except WeightsError as error:
        raise WeightsError(f"what was fetched is of no use: {error}") from error


def _unreached(variant: Variant, reason: str) -> UnreachableWeightsError:
    return UnreachableWeightsError(_unfetched(variant, reason), reason)


def _unfetched(variant: Variant, reason: str) -> str:
    """The sentence for weights that are neither local nor to be had, with the three cures."""
    return (
        f"the published weights of '{variant.name}' ({variant.published}) are not in {weights_folder(variant)} and "
        f"could not be fetched ({reason}): run  radiodino-export fetch --variant {variant.name}  on a machine with "
        "internet and copy its RADIODINO_HOME folder here, or give a file with --weights FILE, or try out with "
        "--weights random"
    )
