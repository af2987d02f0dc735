"""A download from a Hugging Face hub: the file that timm would load, checked against what the hub states."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from radiodino.runtime.errors import UnreachableWeightsError, WeightsError

from ..weights.sha256 import file_sha256
from ..weights.wording import one_line

_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order in which timm looks for them


def download_from_hub(
    identifier: str, address: str, folder: Path, *, bar: str | None, timeout_seconds: float
) -> tuple[Path, str | None]:
    """The weights file of a repository.

    Args:
        identifier: the repository, ``OWNER/NAME``.
        address: of the hub.
        folder: where to put the file.
        bar: whether to show the progress bars of the hub's client, which label themselves; None for none.
        timeout_seconds: the longest silence while the hub is asked about the file.

    Returns:
        The file and the commit it is of.

    Raises:
        UnreachableWeightsError: where no file arrives; the message is a reason, for the caller to complete.
        WeightsError: where another file arrives than the one stated; likewise.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    for name in _FILES:
        url = huggingface_hub.hf_hub_url(identifier, name, endpoint=address)
        with _errors_name(url):
            try:
                stated = huggingface_hub.get_hf_file_metadata(url, timeout=timeout_seconds)
            except EntryNotFoundError:
                continue
            with _bars(shown=bar is not None):
                arrived = huggingface_hub.hf_hub_download(
                    identifier,
                    name,
                    revision=stated.commit_hash,
                    endpoint=address,
                    local_dir=folder,
                    etag_timeout=timeout_seconds,
                )
        file = Path(arrived)
        size, digest = file.stat().st_size, file_sha256(file)
        if stated.size is not None and stated.size != size:
            raise WeightsError(f"{url}: {size} bytes arrived, expected {stated.size}")
        if stated.etag is not None and len(stated.etag) == len(digest) and stated.etag != digest:
            raise WeightsError(f"{url}: SHA-256 {digest} arrived, expected {stated.etag}")
        return file, stated.commit_hash
    raise UnreachableWeightsError(f"{address}/{identifier} holds neither {' nor '.join(_FILES)}")


@contextlib.contextmanager
def _errors_name(url: str) -> Iterator[None]:
    """Turn the errors of the hub's client, which have no base in common and change with its version, into one."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise UnreachableWeightsError(f"{url}: {one_line(str(error)) or type(error).__name__}") from error


@contextlib.contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    """The hub client's own progress bars, left as they are or hidden for a while."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
