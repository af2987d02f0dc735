from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest

from radiodino.runtime.errors import MissingExtraError, OutputError, UnreachableWeightsError, WeightsError
from radiodino.runtime.variants import VARIANTS, Variant

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("huggingface_hub")
safetensors_torch = pytest.importorskip("safetensors.torch")

from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.published import fetch  # noqa: E402
from radiodino.train.published.fetch import published_copy  # noqa: E402
from radiodino.train.published.local_copy import local_copy  # noqa: E402
from radiodino.train.published.unreachable import unreachable  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

HUB_TOY = Variant("toy", "toy", 48, 2, 3, 16, 0.1, False, "timm", "hf_hub:nobody/toy", "CC BY 4.0 (model card)")
DRIVE_TOY = dataclasses.replace(HUB_TOY, name="toy-drive", published="gdrive:1aB-c", licence="MIT (github.com/nobody)")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DRIVE_PATH = "/download?id=1aB-c&export=download&confirm=t"
THREE_CURES = (
    "run  radiodino-export fetch --variant {name}  on a machine with internet and copy its RADIODINO_HOME folder here, "
    "or give a file with --weights FILE, or try out with --weights random"
)


class Server:
    """A web server on this machine that answers as told: `answers` maps a path to a function of the request."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append((self.command, self.path))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    outer.answers.get(self.path, missing)(self)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def publish_on_hub(self, repository, **files):
        """Files named with _ for the dot, as a hub has them."""
        for name, content in files.items():
            path = f"/{repository}/resolve/{{}}/{'.'.join(name.rsplit('_', 1))}"
            for revision in ("main", COMMIT):
                self.answers[path.format(revision)] = hub_file(content)

    def stall(self, request):
        self.released.wait(30)


def missing(request):
    respond(request, b"Entry not found", status=404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})


def respond(request, content, *, status=200, headers=None, length=None):
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content) if length is None else length))
    request.end_headers()
    if request.command == "GET":
        request.wfile.write(content)
        if length is not None:
            request.close_connection = True


def hub_file(content, *, digest=None, sent=None):
    headers = {"ETag": f'"{digest or hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
    return lambda request: respond(
        request, content if sent is None else sent, headers=headers, length=None if sent is None else len(content)
    )


def binary(content, **options):
    return lambda request: respond(request, content, headers={"Content-Type": "application/octet-stream"}, **options)


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own, and no way to the real network."""
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(fetch, "DRIVE", "http://127.0.0.1:9")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_backbone(HUB_TOY).state_dict()


@pytest.fixture(scope="module")
def safetensors_bytes(state):
    return safetensors_torch.save(state)


@pytest.fixture(scope="module")
def pickle_bytes(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def left_in(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) if home.exists() else []


def assert_nothing_left(home):
    assert left_in(home) == []
    assert not any(path.name.startswith(".fetch-") for path in home.rglob("*"))


# --- the hub


def test_the_hub(server, home, safetensors_bytes, state):
    server.publish_on_hub("nobody/toy", model_safetensors=safetensors_bytes, pytorch_model_bin=b"not this one")
    path = published_copy(HUB_TOY, hub=server.url).path
    assert path == home / "weights" / "toy" / "model.safetensors"
    assert path.read_bytes() == safetensors_bytes
    assert left_in(home) == ["weights/toy/model.safetensors", "weights/toy/weights.json"]
    record = json.loads((path.parent / "weights.json").read_text())
    date = record.pop("date")
    assert record == {
        "file": "model.safetensors",
        "source": "hf_hub:nobody/toy",
        "revision": COMMIT,
        "licence": "CC BY 4.0 (model card)",
        "sha256": hashlib.sha256(safetensors_bytes).hexdigest(),
        "size": len(safetensors_bytes),
    }
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(date)) < timedelta(minutes=2)
    model, source = load_weights(HUB_TOY, "published")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert (source.kind, source.name, source.sha256) == ("published", "hf_hub:nobody/toy", record["sha256"])


def test_the_hub_named_in_the_environment(server, monkeypatch, safetensors_bytes, state):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
    server.publish_on_hub("nobody/toy", model_safetensors=safetensors_bytes)
    model, _ = load_weights(HUB_TOY, "published")  # which fetches
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_the_hubs_older_file_where_there_is_no_safetensors(server, home, pickle_bytes):
    server.publish_on_hub("nobody/toy", pytorch_model_bin=pickle_bytes)
    assert published_copy(HUB_TOY, hub=server.url).path.name == "pytorch_model.bin"
    assert left_in(home) == ["weights/toy/pytorch_model.bin", "weights/toy/weights.json"]


def test_a_hub_repository_without_weights(server, home):
    with pytest.raises(WeightsError, match=r"nobody/toy holds neither model\.safetensors nor pytorch_model\.bin"):
        published_copy(HUB_TOY, hub=server.url)
    assert_nothing_left(home)


def refused(status, code):
    return lambda request: respond(request, b"no", status=status, headers={"X-Error-Code": code} if code else {})


@pytest.mark.parametrize(
    "answer", [refused(404, "RepoNotFound"), refused(401, None), refused(403, "GatedRepo"), refused(410, None)]
)
def test_a_hub_that_refuses(answer, server, home):
    server.answers["/nobody/toy/resolve/main/model.safetensors"] = answer
    with pytest.raises(WeightsError, match=r"could not be fetched \(.*/nobody/toy/resolve/main/model\.safetensors: "):
        published_copy(HUB_TOY, hub=server.url)
    assert_nothing_left(home)


def test_a_hub_file_that_is_not_what_the_hub_states(server, home, safetensors_bytes):
    answer = hub_file(safetensors_bytes, digest="0" * 64)
    for revision in ("main", COMMIT):
        server.answers[f"/nobody/toy/resolve/{revision}/model.safetensors"] = answer
    with pytest.raises(WeightsError, match=f"SHA-256 .* arrived, expected {'0' * 64}") as caught:
        published_copy(HUB_TOY, hub=server.url)
    assert not isinstance(caught.value, UnreachableWeightsError)
    assert_nothing_left(home)


def test_a_hub_file_that_breaks_off_is_not_replaced_by_the_older_one(
    server, home, monkeypatch, safetensors_bytes, pickle_bytes
):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the client's pauses between its tries
    server.publish_on_hub("nobody/toy", pytorch_model_bin=pickle_bytes)
    answer = hub_file(safetensors_bytes, sent=safetensors_bytes[:1000])
    for revision in ("main", COMMIT):
        server.answers[f"/nobody/toy/resolve/{revision}/model.safetensors"] = answer
    start = time.monotonic()
    with pytest.raises(WeightsError, match="could not be fetched"):
        published_copy(HUB_TOY, hub=server.url)
    assert time.monotonic() - start < 60
    assert_nothing_left(home)


def test_the_hubs_progress_bars_are_left_as_they_were(server, safetensors_bytes, capfd):
    from huggingface_hub.utils import are_progress_bars_disabled

    before = are_progress_bars_disabled()
    server.publish_on_hub("nobody/toy", model_safetensors=safetensors_bytes)
    published_copy(HUB_TOY, hub=server.url, progress=False)
    assert are_progress_bars_disabled() == before
    assert capfd.readouterr() == ("", "")


def test_the_weights_are_those_that_timm_loads(server, safetensors_bytes, tmp_path):
    """timm's own `create_model("hf_hub:...")` against the same hub, in a process of its own."""
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 0,
        "num_features": 48,
        "model_args": {"embed_dim": 48, "depth": 2, "num_heads": 3},
        "layer_norm_eps": 1e-12,  # as in the authors' files, where timm does not heed it
        "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.9},
    }
    server.publish_on_hub("nobody/toy", model_safetensors=safetensors_bytes, config_json=json.dumps(config).encode())
    code = (
        "import sys, torch, timm\n"
        "model = timm.create_model('hf_hub:nobody/toy', pretrained=True).eval()\n"
        "image = torch.linspace(-2, 2, 3 * 224 * 224).sin().reshape(1, 3, 224, 224)\n"
        "torch.save({'state': model.state_dict(), 'embedding': model(image).detach()}, sys.argv[1])\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "timm")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "timm.pt")], env=environment, check=True, timeout=100)
    expected = torch.load(tmp_path / "timm.pt", weights_only=True)

    published_copy(HUB_TOY, hub=server.url)
    model, _ = load_weights(HUB_TOY, "published")
    assert list(model.state_dict()) == list(expected["state"])
    assert all(torch.equal(model.state_dict()[name], value) for name, value in expected["state"].items())
    image = torch.linspace(-2, 2, 3 * 224 * 224).sin().reshape(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(model(image), expected["embedding"])


# --- the drive


def test_the_drive(server, home, pickle_bytes, state):
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    path = published_copy(DRIVE_TOY, drive=server.url).path
    assert path == home / "weights" / "toy-drive" / "checkpoint.pth"
    assert path.read_bytes() == pickle_bytes
    assert left_in(home) == ["weights/toy-drive/checkpoint.pth", "weights/toy-drive/weights.json"]
    copy = local_copy(DRIVE_TOY)
    assert (copy.source, copy.revision, copy.licence) == ("gdrive:1aB-c", None, "MIT (github.com/nobody)")
    assert (copy.sha256, copy.size) == (hashlib.sha256(pickle_bytes).hexdigest(), len(pickle_bytes))
    model, source = load_weights(DRIVE_TOY, "published")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert source.licence == "MIT (github.com/nobody)"


def test_the_published_drive_address_is_the_authors():
    assert VARIANTS["tiny"].published == "gdrive:1Z-tczdk9SFFZQpD982chH3VUTEjTdaIf"


def test_a_redirect_is_followed(server, pickle_bytes):
    server.answers[DRIVE_PATH] = lambda request: respond(request, b"", status=303, headers={"Location": "/really"})
    server.answers["/really"] = binary(pickle_bytes)
    assert published_copy(DRIVE_TOY, drive=server.url).path.read_bytes() == pickle_bytes


def chunked(content, *, ends=True):
    def answer(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(f"{len(content):x}\r\n".encode() + content + (b"\r\n0\r\n\r\n" if ends else b"\r\n"))
            request.close_connection = True

    return answer


def test_a_file_of_unstated_length(server, pickle_bytes):
    server.answers[DRIVE_PATH] = chunked(pickle_bytes)
    assert published_copy(DRIVE_TOY, drive=server.url).path.read_bytes() == pickle_bytes


HTML = b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda r: respond(r, HTML, headers={"Content-Type": "text/html; charset=utf-8"}), "answered with a web page"),
        (binary(HTML), "answered with a web page"),
        (lambda r: respond(r, b"plain", headers={"Content-Type": "text/html"}), "answered with a web page"),
        (missing, "answered 404 Not Found"),
        (binary(b"no", status=403), "answered 403 Forbidden"),
        (binary(b"no", status=500), "answered 500 Internal Server Error"),
        (binary(b"PK\x03\x04" * 1000, length=9000), "broke off after 4000 of 9000 bytes"),
        (binary(b"", length=9000), "broke off after 0 of 9000 bytes"),
        (chunked(b"PK\x03\x04" * 1000, ends=False), "broke off after"),
        (binary(b""), r"what was fetched is of no use: checkpoint\.pth is empty"),
        (binary(b"PK\x03\x04" * 1000), r"what was fetched is of no use: checkpoint\.pth is damaged"),
        (lambda r: r.connection.shutdown(socket.SHUT_RDWR), "Remote end closed connection|reset"),
    ],
    ids=lambda value: value if isinstance(value, str) else "answer",
)
def test_what_is_no_file_leaves_nothing_behind(answer, reason, server, home):
    server.answers[DRIVE_PATH] = answer
    with pytest.raises(WeightsError, match=reason) as caught:
        published_copy(DRIVE_TOY, drive=server.url)
    assert THREE_CURES.format(name="toy-drive") in str(caught.value)
    assert "\n" not in str(caught.value)
    # A file that arrived whole and is no checkpoint is there, and wrong; all else is a file that is not to be had.
    assert isinstance(caught.value, UnreachableWeightsError) == ("of no use" not in reason)
    assert_nothing_left(home)


def test_weights_of_another_variant_are_not_kept(server, home, pickle_bytes):
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    other = dataclasses.replace(VARIANTS["tiny"], published="gdrive:1aB-c")
    with pytest.raises(
        WeightsError, match=r"of no use: checkpoint\.pth: these weights \(embedding 48, patch 16, depth 2"
    ):
        published_copy(other, drive=server.url)
    assert_nothing_left(home)


def test_the_progress_bar_goes_to_standard_error(server, pickle_bytes, capfd):
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    published_copy(DRIVE_TOY, drive=server.url)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "weights of toy-drive" in shown.err


def test_no_progress_bar(server, pickle_bytes, capfd):
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    published_copy(DRIVE_TOY, drive=server.url, progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_proxy_is_used(server, monkeypatch, pickle_bytes):
    monkeypatch.setenv("http_proxy", server.url)
    server.answers[f"http://drive.invalid{DRIVE_PATH}"] = binary(pickle_bytes)
    assert published_copy(DRIVE_TOY, drive="http://drive.invalid").path.read_bytes() == pickle_bytes
    assert [path for _, path in server.asked] == ["http://drive.invalid", f"http://drive.invalid{DRIVE_PATH}"]


# --- time


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_the_default_limits_leave_time_to_answer():
    assert fetch.PROBE_SECONDS <= 8


@pytest.mark.parametrize("variant", [HUB_TOY, DRIVE_TOY], ids=["hub", "drive"])
def test_a_server_that_never_answers(variant, silent, home):
    start = time.monotonic()
    with pytest.raises(
        UnreachableWeightsError, match=r"gave no answer within 0\.5 seconds|cannot be reached \(timed out\)"
    ) as caught:
        published_copy(variant, hub=silent, drive=silent, probe_seconds=0.5)
    assert time.monotonic() - start < 3
    assert THREE_CURES.format(name=variant.name) in str(caught.value)
    assert not home.exists()


def test_name_resolution_that_hangs(monkeypatch):
    finished = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (finished.wait(20), [])[1])
    start = time.monotonic()
    assert unreachable("http://hub.invalid", 0.3) == "http://hub.invalid gave no answer within 0.3 seconds"
    assert time.monotonic() - start < 2
    finished.set()


@pytest.mark.parametrize("stalls", ["before the answer", "within the file"])
def test_a_download_that_stalls(stalls, server, home, pickle_bytes):
    def answer(request):
        if stalls == "within the file":
            request.send_response(200)
            request.send_header("Content-Length", str(len(pickle_bytes)))
            request.end_headers()
            request.wfile.write(pickle_bytes[:500])
        server.stall(request)

    server.answers[DRIVE_PATH] = answer
    start = time.monotonic()
    with pytest.raises(WeightsError, match="timed out"):
        published_copy(DRIVE_TOY, drive=server.url, timeout_seconds=0.5)
    assert time.monotonic() - start < 5
    assert_nothing_left(home)


@pytest.mark.parametrize(
    "answer", [missing, binary(b"", status=500), lambda r: respond(r, b"", status=302, headers={"Location": "/x"})]
)
def test_any_answer_is_an_answer(answer, server):
    server.answers["/"] = server.answers[""] = answer
    assert unreachable(server.url, 5) is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://hub.invalid:80"])
def test_what_does_not_answer(address):
    assert unreachable(address, 5).startswith(f"{address} cannot be reached (")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1", "huggingface.co", ""])
def test_what_is_no_web_address(address):
    assert unreachable(address, 5) == f"{address} is no http or https address"


def test_a_failed_handshake_is_an_answer(server):
    """Whether to trust a server is for the download to say, which may know other certificates."""
    assert unreachable(server.url.replace("http:", "https:"), 5) is None


# --- once local


@pytest.mark.parametrize("variant", [HUB_TOY, DRIVE_TOY], ids=["hub", "drive"])
def test_what_is_local_is_not_asked_for_again(variant, server, monkeypatch, safetensors_bytes, pickle_bytes):
    server.publish_on_hub("nobody/toy", model_safetensors=safetensors_bytes)
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    first = published_copy(variant, hub=server.url, drive=server.url)
    asked = len(server.asked)
    assert asked > 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("opened a connection"))
    assert published_copy(variant, hub=server.url, drive=server.url) == first
    load_weights(variant, "published")
    assert len(server.asked) == asked


@pytest.mark.parametrize("value", ["1", "true", "ON", "Yes"])
@pytest.mark.parametrize("variant", [HUB_TOY, DRIVE_TOY], ids=["hub", "drive"])
def test_offline_mode_is_obeyed(variant, value, server, home, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(UnreachableWeightsError, match="HF_HUB_OFFLINE forbids the network") as caught:
        published_copy(variant, hub=server.url, drive=server.url)
    assert THREE_CURES.format(name=variant.name) in str(caught.value)
    assert server.asked == []
    assert not home.exists()


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_offline_mode_can_be_off(value, server, monkeypatch, pickle_bytes):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    assert published_copy(DRIVE_TOY, drive=server.url).path.is_file()


def test_nothing_local(home):
    assert local_copy(HUB_TOY) is None
    assert not home.exists()


def test_a_file_without_a_record_is_fetched_again(server, home, pickle_bytes):
    folder = home / "weights" / "toy-drive"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pth").write_bytes(b"half a file")
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    assert local_copy(DRIVE_TOY) is None
    assert published_copy(DRIVE_TOY, drive=server.url).path.read_bytes() == pickle_bytes


@pytest.fixture
def fetched(server, pickle_bytes):
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    path = published_copy(DRIVE_TOY, drive=server.url).path
    server.asked.clear()
    return path


@pytest.mark.parametrize("change", ["flipped", "shorter", "longer", "replaced"])
def test_a_changed_file_is_an_error(change, fetched, server, safetensors_bytes):
    content = fetched.read_bytes()
    flipped = content[:600] + bytes([content[600] ^ 1]) + content[601:]
    changed = {"flipped": flipped, "shorter": content[:-1], "longer": content + b"\0", "replaced": safetensors_bytes}
    fetched.write_bytes(changed[change])
    found = hashlib.sha256(changed[change]).hexdigest()
    message = f"has changed since it was fetched .SHA-256 {found}, expected {hashlib.sha256(content).hexdigest()}"
    for use in (lambda: published_copy(DRIVE_TOY, drive=server.url), lambda: load_weights(DRIVE_TOY, "published")):
        cure = "delete the folder .*toy-drive and fetch the weights again"
        with pytest.raises(WeightsError, match=f"{message}.*{cure}") as caught:
            use()
        assert not isinstance(caught.value, UnreachableWeightsError)
    assert server.asked == []


def test_a_missing_file_is_an_error(fetched):
    fetched.unlink()
    with pytest.raises(WeightsError, match=r"checkpoint\.pth is missing, though weights\.json beside it records it"):
        local_copy(DRIVE_TOY)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"file": "a"}', '"a"', "\xff"])
def test_a_damaged_record_is_an_error(text, fetched):
    (fetched.parent / "weights.json").write_text(text, encoding="latin-1")
    with pytest.raises(WeightsError, match=r"the record .*weights\.json cannot be read .*delete the folder"):
        local_copy(DRIVE_TOY)


@pytest.mark.parametrize("file", ["", "../../secret.pth", "/etc/passwd", ".."])
def test_a_record_of_a_file_elsewhere_is_an_error(file, fetched):
    record = fetched.parent / "weights.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "file": file}))
    with pytest.raises(WeightsError, match=r"names no file beside it|is missing"):
        local_copy(DRIVE_TOY)


def test_a_record_of_another_source_is_an_error(fetched):
    with pytest.raises(WeightsError, match="are from gdrive:1aB-c, expected gdrive:2"):
        local_copy(dataclasses.replace(DRIVE_TOY, published="gdrive:2"))


# --- what cannot be


def test_a_home_that_cannot_be_written(server, tmp_path, monkeypatch, pickle_bytes):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RADIODINO_HOME", str(tmp_path / "file"))
    server.answers[DRIVE_PATH] = binary(pickle_bytes)
    with pytest.raises(OutputError, match=r"cannot store weights in .*set RADIODINO_HOME to a writable folder"):
        published_copy(DRIVE_TOY, drive=server.url)


def test_an_unknown_kind_of_source():
    with pytest.raises(WeightsError, match="'ftp:x' is no known kind of source: expected hf_hub"):
        published_copy(dataclasses.replace(HUB_TOY, published="ftp:x"))


@pytest.mark.parametrize("name", ["tiny-sp", "dinov2-small"])
def test_what_is_not_published(name):
    with pytest.raises(WeightsError, match=f"no weights of '{name}' are published: give your own with --weights FILE"):
        published_copy(VARIANTS[name])


def test_a_missing_hub_client_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"huggingface_hub is not installed: .*radiodino\[export\]"):
        published_copy(HUB_TOY)
