"""The authors' published weights, fetched once into `RADIODINO_HOME` and checked against their SHA-256 ever after."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import OutputError, WeightsError
from radiodino.runtime.home import home
from radiodino.runtime.variants import Variant

from .backbone import require
from .checkpoint import backbone_state, read_checkpoint

HUB = "https://huggingface.co"
DRIVE = "https://drive.usercontent.google.com"
PROBE_SECONDS = 5.0  # leaves time to start and to answer within 10 seconds where there is no network
TIMEOUT_SECONDS = 30.0  # of silence during a download

_RECORD = "weights.json"
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # in the order in which timm looks for them
_DRIVE_FILE = "checkpoint.pth"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class PublishedCopy:
    """A local copy of published weights, as recorded in the `weights.json` beside it."""

    file: str
    """The name of the file beside the record."""
    source: str
    """Where it was fetched: `Variant.published`."""
    revision: str | None
    """The commit at a hub; None where the source has none."""
    licence: str | None
    """The licence stated at the source."""
    sha256: str
    size: int
    """In bytes."""
    date: str
    """When it was fetched, UTC, ISO 8601."""

    def path(self, variant: Variant) -> Path:
        """Where the file is."""
        return _folder(variant) / self.file


def fetch_published(
    variant: Variant,
    *,
    progress: bool = True,
    hub: str | None = None,
    drive: str | None = None,
    probe_seconds: float = PROBE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Path:
    """Fetch the published weights of `variant`, unless they are local already.

    A local copy is checked and returned without any network call. What is fetched is kept only where it is complete
    and a backbone of the variant; the file and a record of it (`PublishedCopy`) then lie in
    ``RADIODINO_HOME/weights/VARIANT``. Proxies named in the environment are used, ``HF_HUB_OFFLINE`` is obeyed.

    Args:
        variant: whose weights.
        progress: whether to show a progress bar on the standard error stream.
        hub: address of the Hugging Face hub; by default ``HF_ENDPOINT``, else the public one.
        drive: address of Google Drive's downloads; by default the public one.
        probe_seconds: within how long the source must give any answer at all, name resolution included.
        timeout_seconds: the longest silence of the source during the download.

    Returns:
        The path of the local file.

    Raises:
        WeightsError: where there is no published source, it cannot be reached or gives no usable file, or the local
            copy is not what was fetched.
        OutputError: where the file cannot be stored.
        MissingExtraError: where torch or huggingface_hub is needed and not installed.
    """
    return published_copy(
        variant, progress=progress, hub=hub, drive=drive, probe_seconds=probe_seconds, timeout_seconds=timeout_seconds
    ).path(variant)


def published_copy(
    variant: Variant,
    *,
    progress: bool = True,
    hub: str | None = None,
    drive: str | None = None,
    probe_seconds: float = PROBE_SECONDS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> PublishedCopy:
    """What `fetch_published` does, returning the record of the local copy. Arguments and errors are the same."""
    if variant.published is None:
        raise WeightsError(
            f"no weights of '{variant.name}' are published: give your own with --weights FILE, or try out with "
            "--weights random"
        )
    copy = local_copy(variant)
    if copy is not None:
        return copy
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise _unfetched(variant, "HF_HUB_OFFLINE forbids the network")
    kind, _, identifier = variant.published.partition(":")
    if kind == "hf_hub":
        address = (hub or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        require("huggingface_hub")
    elif kind == "gdrive":
        address = (drive or DRIVE).rstrip("/")
    else:
        raise WeightsError(f"'{variant.published}' is no known kind of source: expected hf_hub:... or gdrive:...")
    silence = unreachable(address, probe_seconds)
    if silence is not None:
        raise _unfetched(variant, silence)
    require("torch")  # which looks at what was fetched; said before the download

    folder = _folder(variant)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent) as scratch:
            download = _from_hub if kind == "hf_hub" else _from_drive
            file, revision = download(variant, identifier, address, Path(scratch), progress, timeout_seconds)
            try:
                backbone_state(read_checkpoint(file), variant, source=file.name)
            except WeightsError as error:
                raise _unfetched(variant, f"what was fetched is of no use: {error}") from error
            copy = PublishedCopy(
                file=file.name,
                source=variant.published,
                revision=revision,
                licence=variant.licence,
                sha256=file_sha256(file),
                size=file.stat().st_size,
                date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
            folder.mkdir(exist_ok=True)
            os.replace(file, folder / file.name)
    except OSError as error:
        raise OutputError(
            f"cannot store weights in {folder}: {error.strerror or error}; free the space or set RADIODINO_HOME to a "
            "writable folder"
        ) from error
    with atomic_path(folder / _RECORD, overwrite=True) as record:
        record.write_text(json.dumps(asdict(copy), indent=2) + "\n", encoding="utf-8")
    return copy


def local_copy(variant: Variant) -> PublishedCopy | None:
    """The local copy of the published weights of `variant`, found to be what was fetched; None where there is none.

    Raises:
        WeightsError: where the record or the file is damaged, or they do not agree with each other or the variant.
    """
    folder = _folder(variant)
    record = folder / _RECORD
    if not record.exists():
        return None
    cure = f"delete the folder {folder} and fetch the weights again"
    try:
        copy = PublishedCopy(**json.loads(record.read_text(encoding="utf-8")))
        sound = Path(copy.file).name == copy.file != ""
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(f"the record {record} cannot be read ({error}): {cure}") from error
    if not sound:
        raise WeightsError(f"the record {record} names no file beside it but '{copy.file}': {cure}")
    if copy.source != variant.published:
        raise WeightsError(
            f"the local weights of '{variant.name}' are from {copy.source}, expected {variant.published}: {cure}"
        )
    file = folder / copy.file
    if not file.is_file():
        raise WeightsError(f"{file} is missing, though {_RECORD} beside it records it: {cure}")
    found = file_sha256(file)
    if found != copy.sha256:
        raise WeightsError(f"{file} has changed since it was fetched (SHA-256 {found}, expected {copy.sha256}): {cure}")
    return copy


def file_sha256(file: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        WeightsError: where it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror or error}") from error
    return digest.hexdigest()


def unreachable(address: str, seconds: float) -> str | None:
    """Why nothing answers at `address` within `seconds`, or None where anything does, be it an error page.

    The question runs in a thread of its own that is left behind when time is up: name resolution knows no timeout.
    """
    if not address.startswith(("https://", "http://")):
        return f"{address} is no http or https address"
    reason = [f"{address} gave no answer within {seconds:g} seconds"]

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")  # noqa: S310 (the scheme is checked above)
        try:
            with urllib.request.build_opener().open(request, timeout=seconds):
                reason.clear()
        except urllib.error.HTTPError:
            reason.clear()
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLError):  # it answers; the download itself may trust other certificates
                reason.clear()
            else:
                reason[:] = [f"{address} cannot be reached ({cause})"]

    thread = threading.Thread(target=ask, name="radiodino-probe", daemon=True)
    thread.start()
    thread.join(seconds)
    return next(iter(reason), None)


def _folder(variant: Variant) -> Path:
    return home() / "weights" / variant.name


def _unfetched(variant: Variant, reason: str) -> WeightsError:
    """The error for weights that are neither local nor to be had, with the three cures."""
    return WeightsError(
        f"the published weights of '{variant.name}' ({variant.published}) are not in {_folder(variant)} and could not "
        f"be fetched ({reason}): run  radiodino-export fetch --variant {variant.name}  on a machine with internet and "
        "copy its RADIODINO_HOME folder here, or give a file with --weights FILE, or try out with --weights random"
    )


def _from_hub(
    variant: Variant, repository: str, address: str, scratch: Path, progress: bool, timeout: float
) -> tuple[Path, str | None]:
    """The file that timm would load from a repository of the hub, and the commit it is of."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    for name in _HUB_FILES:
        url = huggingface_hub.hf_hub_url(repository, name, endpoint=address)
        try:
            stated = huggingface_hub.get_hf_file_metadata(url, timeout=timeout)
        except EntryNotFoundError:
            continue
        except Exception as error:  # the client's errors have no base in common, and change with its version
            raise _unfetched(variant, f"{url}: {_line(error)}") from error
        try:
            with _hub_bars(progress):
                arrived = huggingface_hub.hf_hub_download(
                    repository,
                    name,
                    revision=stated.commit_hash,
                    endpoint=address,
                    local_dir=scratch,
                    etag_timeout=timeout,
                )
        except Exception as error:  # as above
            raise _unfetched(variant, f"{url}: {_line(error)}") from error
        file = Path(arrived)
        digest = file_sha256(file)
        if stated.size is not None and stated.size != file.stat().st_size:
            raise _unfetched(variant, f"{url}: {file.stat().st_size} bytes arrived, expected {stated.size}")
        if stated.etag is not None and len(stated.etag) == len(digest) and stated.etag != digest:
            raise _unfetched(variant, f"{url}: SHA-256 {digest} arrived, expected {stated.etag}")
        return file, stated.commit_hash
    raise _unfetched(variant, f"{address}/{repository} holds neither {' nor '.join(_HUB_FILES)}")


@contextlib.contextmanager
def _hub_bars(shown: bool) -> Iterator[None]:
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


def _from_drive(
    variant: Variant, identifier: str, address: str, scratch: Path, progress: bool, timeout: float
) -> tuple[Path, None]:
    """A file of Google Drive, without the question that it asks a browser for large files; it has no revision."""
    url = f"{address}/download?id={identifier}&export=download&confirm=t"
    file = scratch / _DRIVE_FILE
    try:
        response = urllib.request.build_opener().open(url, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise _unfetched(variant, f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _unfetched(variant, f"{url}: {_line(error)}") from error
    with response, file.open("wb") as stream:
        length = response.headers.get("Content-Length")
        total = int(length) if length is not None and length.isdigit() else None
        arrived = 0
        with _bar(f"weights of {variant.name}", total, shown=progress) as advance:
            while True:
                try:
                    chunk = response.read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    raise _unfetched(variant, f"{url} broke off after {arrived} bytes: {_line(error)}") from error
                if not chunk:
                    break
                if arrived == 0 and _is_page(response.headers.get("Content-Type"), chunk):
                    raise _unfetched(
                        variant,
                        f"{url} answered with a web page in place of the file, because its daily quota is used up or "
                        "it asks to sign in; try again tomorrow, or save it with a browser",
                    )
                stream.write(chunk)
                arrived += len(chunk)
                advance(len(chunk))
    if total is not None and arrived != total:
        raise _unfetched(variant, f"{url} broke off after {arrived} of {total} bytes")
    return file, None


def _is_page(content_type: str | None, start: bytes) -> bool:
    return (content_type or "").lower().startswith("text/html") or start.lstrip()[:1] == b"<"


@contextlib.contextmanager
def _bar(label: str, total: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on the standard error stream; yields what to call with the number of bytes that came."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def _line(error: Exception) -> str:
    """A foreign error on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
