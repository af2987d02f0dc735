"""A download from Google Drive, where a page may come in place of the file."""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from radiodino.runtime.errors import UnreachableWeightsError

from ..weights.wording import one_line

_FILE = "checkpoint.pth"
_CHUNK = 1 << 20


def download_from_drive(
    identifier: str, address: str, folder: Path, *, bar: str | None, timeout_seconds: float
) -> tuple[Path, None]:
    """A file of Google Drive, without the question that it asks a browser for large files.

    Args:
        identifier: of the file.
        address: of the drive's downloads.
        folder: where to put the file.
        bar: the label of a progress bar on the standard error stream; None for no bar.
        timeout_seconds: the longest silence.

    Returns:
        The file; and None, since it has no revision.

    Raises:
        UnreachableWeightsError: where no whole file arrives; the message is a reason, for the caller to complete.
    """
    url = f"{address}/download?id={identifier}&export=download&confirm=t"
    file = folder / _FILE
    with _answer(url, timeout_seconds) as response, file.open("wb") as stream:
        length = response.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdigit() else None
        arrived = 0
        with _progress(bar, total) as advance:
            while chunk := _next_chunk(response, url, arrived):
                if arrived == 0 and _is_page(response.headers.get("Content-Type"), chunk):
                    raise UnreachableWeightsError(
                        f"{url} answered with a web page in place of the file, because its daily quota is used up or "
                        "it asks to sign in; try again tomorrow, or save it with a browser"
                    )
                stream.write(chunk)
                arrived += len(chunk)
                advance(len(chunk))
    if total is not None and arrived != total:
        raise UnreachableWeightsError(f"{url} broke off after {arrived} of {total} bytes")
    return file, None


def _answer(url: str, timeout_seconds: float) -> http.client.HTTPResponse:
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener().open(url, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        with error:
            raise UnreachableWeightsError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableWeightsError(f"{url}: {one_line(str(error)) or type(error).__name__}") from error
    return response


def _next_chunk(response: http.client.HTTPResponse, url: str, arrived: int) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise UnreachableWeightsError(f"{url} broke off after {arrived} bytes: {reason}") from error


def _is_page(content_type: str | None, start: bytes) -> bool:
    return (content_type or "").lower().startswith("text/html") or start.lstrip()[:1] == b"<"


@contextlib.contextmanager
def _progress(label: str | None, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar; yields what to call with the number of bytes that came."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=label is None) as shown:
        task = shown.add_task(label or "", total=total)
        yield lambda count: shown.advance(task, count)
