from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError, OutputError
from radiodino.train.data import store as module
from radiodino.train.data.store import Made, open_store

SIZE = 4


def row(value, channels=1, extra=0):
    """Planes of one value; the extra ones hold one more."""
    image = np.full((channels, SIZE, SIZE), value, np.uint8)
    return np.concatenate([image, np.full((extra, SIZE, SIZE), (value + 1) % 256, np.uint8)])


def make(entry):
    """Of an input: a text is a reason, (value, channels, ...) are rows."""
    if isinstance(entry, str):
        return Made(reason=entry)
    return Made([row(value, channels) for value, channels in entry])


GREY = [[(1, 1)], "broken", [(2, 1), (3, 1)], [(4, 1)], "gone"]
MIXED = [[(1, 1)], "broken", [(2, 1), (3, 1)], [(4, 3)], [(5, 1)]]


@pytest.mark.parametrize(("inputs", "channels"), [(GREY, 1), (MIXED, 3), (MIXED[::-1], 3)])
def test_rows_come_in_the_order_of_their_inputs(tmp_path, inputs, channels):
    store = open_store(tmp_path / "s", inputs, make, SIZE)
    rows = [value for entry in inputs if not isinstance(entry, str) for value, _ in entry]
    assert store.rows.shape == (len(rows), channels, SIZE, SIZE)
    assert store.rows.dtype == np.uint8
    assert isinstance(store.rows, np.memmap)
    assert [set(np.unique(found)) for found in store.rows] == [{value} for value in rows]
    assert list(store.counts) == [0 if isinstance(entry, str) else len(entry) for entry in inputs]
    assert store.reasons == {place: entry for place, entry in enumerate(inputs) if isinstance(entry, str)}
    assert {file.name for file in (tmp_path / "s").iterdir()} == {
        "lock", "index.json", "grey.u8" if channels == 1 else "colour.u8",
    }  # fmt: skip


def test_extra_planes_stay_as_they_are(tmp_path):
    rows = [row(1, 1, extra=2), row(5, 3, extra=2), row(7, 1, extra=2)]
    store = open_store(tmp_path / "s", rows, lambda one: Made([one]), SIZE, extra=2)
    assert store.rows.shape == (3, 5, SIZE, SIZE)
    assert store.rows[:, :, 0, 0].tolist() == [[1, 1, 1, 2, 2], [5, 5, 5, 6, 6], [7, 7, 7, 8, 8]]


def test_it_is_made_once(tmp_path):
    told = []
    for _ in range(2):
        open_store(tmp_path / "s", GREY, make, SIZE, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 5) for done in range(1, 6)]


_entries = st.lists(st.tuples(st.integers(0, 255), st.sampled_from([1, 1, 1, 3])), min_size=1, max_size=3)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.one_of(st.just("no"), _entries), min_size=1, max_size=12), st.lists(st.integers(1, 12), max_size=3))
def test_an_interrupt_at_any_moment_changes_nothing(tmp_path_factory, inputs, stops):
    if all(entry == "no" for entry in inputs):
        inputs = [*inputs, [(0, 1)]]
    place = tmp_path_factory.mktemp("store") / "s"
    done_before = 0
    for stop in stops:

        def interrupt(done, _total, stop=stop, first=done_before):
            if done - first == stop:
                raise KeyboardInterrupt

        try:
            open_store(place, inputs, make, SIZE, progress=interrupt)
            break
        except KeyboardInterrupt:
            done_before += stop
    told = []
    store = open_store(place, inputs, make, SIZE, progress=lambda done, _total: told.append(done))
    whole = open_store(place.with_name("whole"), inputs, make, SIZE)
    assert np.array_equal(store.rows, whole.rows)
    assert (list(store.counts), store.reasons) == (list(whole.counts), whole.reasons)
    assert told in ([], list(range(done_before + 1, len(inputs) + 1)))  # nothing is made twice


@pytest.mark.parametrize("inputs", [GREY, MIXED])
def test_torn_files_are_cut_back(tmp_path, inputs):
    place = tmp_path / "s"

    def interrupt(done, _total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(place, inputs, make, SIZE, progress=interrupt)
    pixels = place / ("grey.u8" if inputs is GREY else "colour.u8")
    assert pixels.stat().st_size == 4 * SIZE**2 * (1 if inputs is GREY else 3)
    assert (place / "journal.jsonl").read_text() == '1\n"broken"\n2\n1\n'
    with pixels.open("ab") as stream:
        stream.write(b"\xff" * 7)
    with (place / "journal.jsonl").open("ab") as stream:
        stream.write(b"1\n2")  # the line of a row that is not there, and half a line
    (place / ".colour.u8.0badcafe.tmp").touch()
    (place / "grey.u8").touch()  # as if the wider copy had just been made
    store = open_store(place, inputs, make, SIZE)
    assert np.array_equal(store.rows, open_store(tmp_path / "whole", inputs, make, SIZE).rows)
    assert not list(place.glob(".*"))


def test_a_killed_process_is_gone_on_after(tmp_path):
    script = textwrap.dedent("""
        import os, sys, pathlib
        import numpy as np
        from radiodino.train.data import store
        store._SECONDS = 0  # brought to the disk after each
        made = lambda value: store.Made([np.full((1 + 2 * (value > 9), 4, 4), value, np.uint8)])
        store.open_store(pathlib.Path(sys.argv[1]), range(20), made, 4,
                         progress=lambda done, total: os._exit(9) if done == int(sys.argv[2]) else None)
    """)
    for stop in (5, 11):
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "s"), str(stop)], check=False)
        assert done.returncode == 9
        made = len((tmp_path / "s" / "journal.jsonl").read_bytes().splitlines())
        assert stop - 1 <= made <= stop
    told = []
    store = open_store(
        tmp_path / "s", range(20), lambda value: Made([row(value)]), SIZE, progress=lambda done, _: told.append(done)
    )
    assert store.rows[:, 0, 0, 0].tolist() == list(range(20))
    assert store.rows.shape[1] == 3
    assert told[0] in (11, 12)


def test_two_at_once_make_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.01)
    begun, go_on, waited = threading.Event(), threading.Event(), threading.Event()
    made, found = [], []

    def slow(value):
        made.append(value)
        begun.set()
        assert go_on.wait(10)
        return Made([row(value)])

    def first():
        found.append(open_store(tmp_path / "s", [1, 2], slow, SIZE))

    def second():
        found.append(open_store(tmp_path / "s", [1, 2], slow, SIZE, progress=lambda *_: waited.set()))

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    assert waited.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(made) == [1, 2]
    assert len(found) == 2
    assert all(store.rows[:, 0, 0, 0].tolist() == [1, 2] for store in found)


def test_nothing_readable_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="none of the 2 images can be read: broken"):
        open_store(tmp_path / "s", ["broken", "gone"], make, SIZE)
    assert [file.name for file in (tmp_path / "s").iterdir()] == ["lock"]


def test_an_error_in_making_keeps_what_was_made(tmp_path):
    def fail(entry):
        if entry == GREY[3]:
            raise RuntimeError("a bug")
        return make(entry)

    with pytest.raises(RuntimeError, match="a bug"):
        open_store(tmp_path / "s", GREY, fail, SIZE)
    told = []
    open_store(tmp_path / "s", GREY, make, SIZE, progress=lambda done, _total: told.append(done))
    assert told == [4, 5]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    write_at = module._write_at

    def full(stream, place, data):
        if data:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_at(stream, place, data)

    monkeypatch.setattr(module, "_write_at", full)
    with pytest.raises(
        OutputError, match=r"cannot write decoded images to .* \(No space left on device\): free the space"
    ):
        open_store(tmp_path / "s", GREY, make, SIZE)
    monkeypatch.setattr(module, "_write_at", write_at)
    assert len(open_store(tmp_path / "s", GREY, make, SIZE).rows) == 4


def test_a_place_that_is_no_folder_is_one_sentence(tmp_path):
    (tmp_path / "s").touch()
    with pytest.raises(OutputError, match="cannot write decoded images to"):
        open_store(tmp_path / "s", GREY, make, SIZE)


@pytest.mark.parametrize("damage", ["index", "other index", "pixels", "no pixels", "other inputs"])
def test_a_damaged_store_is_said(tmp_path, damage):
    open_store(tmp_path / "s", GREY, make, SIZE)
    if damage == "index":
        (tmp_path / "s" / "index.json").write_text("{")
    elif damage == "other index":
        (tmp_path / "s" / "index.json").write_text("{}")
    elif damage == "pixels":
        (tmp_path / "s" / "grey.u8").write_bytes(b"x")
    elif damage == "no pixels":
        (tmp_path / "s" / "grey.u8").unlink()
    with pytest.raises(OutputError, match="are damaged: delete that folder, and start again"):
        open_store(tmp_path / "s", GREY[: -1 if damage == "other inputs" else None], make, SIZE)
