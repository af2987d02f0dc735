from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.embed.entry import Entry
from radiodino.runtime.embed.journal import EMBEDDINGS, ROWS, RUN, Journal, has_partial, partial_folder, refuse_partial
from radiodino.runtime.errors import OutputError

SIZE = 3
FINGERPRINT = {"model_sha256": "ab" * 32, "options": {"batch_size": 8, "window": None}, "inputs": {"count": 4}}


def open_journal(output, fingerprint=FINGERPRINT, *, size=SIZE, resume=False, force=False):
    return Journal.open(output, fingerprint, size, resume=resume, force=force)


def rows_of(number: int, frames: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((frames, SIZE)).astype(np.float32)


def sample(number: int) -> tuple[Entry, np.ndarray]:
    """An input: some unreadable, some with several frames, some with notices, one with a difficult name."""
    frames = (1, 3, 0, 1)[number % 4]
    name = f"scan-{number}-é\n\"'\u2028.dcm"
    if not frames:
        return Entry(name, "", reason="the pixel data are truncated"), rows_of(number, 0)
    numbers = (None,) if frames == 1 else tuple(range(1, frames + 1))
    notices = ((0, "no window"),) if number % 3 == 0 else ()
    return Entry(name, "benign", numbers, notices), rows_of(number, frames)


ALL = [sample(number) for number in range(9)]
ALL_ROWS = np.concatenate([rows for _, rows in ALL])


def content(output):
    folder = partial_folder(output)
    return {name: (folder / name).read_bytes() for name in (RUN, ROWS, EMBEDDINGS)}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.csv"


def test_what_was_recorded_is_read_back(output):
    with open_journal(output) as journal:
        journal.append(ALL[:4])
        journal.append(ALL[4:])
        assert (journal.finished, journal.rows) == (len(ALL), len(ALL_ROWS))
        assert list(journal.entries()) == [entry for entry, _ in ALL]
        embeddings = journal.embeddings()
        np.testing.assert_array_equal(embeddings, ALL_ROWS)
        assert isinstance(embeddings, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            embeddings[0, 0] = 1


def test_row_names():
    assert ALL[0][0].row_name(0) == ALL[0][0].name
    assert ALL[1][0].row_name(2) == f"{ALL[1][0].name}#3"
    assert Entry("scan.dcm", "", (7,)).row_name(0) == "scan.dcm#7"


def test_an_empty_journal(output):
    with open_journal(output) as journal:
        assert list(journal.entries()) == []
        assert journal.embeddings().shape == (0, SIZE)


def test_removing_leaves_nothing(output):
    with open_journal(output) as journal:
        journal.append(ALL)
        journal.remove()
    assert list(output.parent.iterdir()) == []


def test_removing_spares_a_file_of_somebody_else(output):
    with open_journal(output) as journal:
        (journal.folder / "mine.txt").write_text("keep")
        journal.remove()
    assert [path.name for path in partial_folder(output).iterdir()] == ["mine.txt"]
    assert not has_partial(output)


@settings(max_examples=150, deadline=None)
@given(
    appended=st.integers(0, len(ALL)),
    cut_rows=st.floats(0, 1),
    cut_embeddings=st.floats(0, 1),
    torn=st.binary(max_size=30),
    stale=st.binary(max_size=30),
)
def test_cut_anywhere_it_goes_on_to_the_same_bytes(tmp_path_factory, appended, cut_rows, cut_embeddings, torn, stale):
    """Both files are cut at arbitrary bytes and arbitrary bytes follow, as after a crash or a power cut."""
    folder = tmp_path_factory.mktemp("journal")
    whole, output = folder / "whole.csv", folder / "out.csv"
    with open_journal(whole) as journal:
        journal.append(ALL)
    with open_journal(output) as journal:
        journal.append(ALL[:appended])
    for name, share, rest in ((ROWS, cut_rows, torn), (EMBEDDINGS, cut_embeddings, stale)):
        path = partial_folder(output) / name
        data = path.read_bytes()
        path.write_bytes(data[: round(share * len(data))] + rest)
    with open_journal(output, resume=True) as journal:
        kept = journal.finished
        assert kept <= appended
        assert list(journal.entries()) == [entry for entry, _ in ALL[:kept]]
        np.testing.assert_array_equal(journal.embeddings(), ALL_ROWS[: journal.rows])
        journal.append(ALL[kept:])
        np.testing.assert_array_equal(journal.embeddings(), ALL_ROWS)
    assert content(output) == content(whole)


@pytest.mark.parametrize("appended", range(len(ALL) + 1))
def test_uncut_nothing_is_lost(output, appended):
    with open_journal(output) as journal:
        journal.append(ALL[:appended])
    with open_journal(output, resume=True) as journal:
        assert journal.finished == appended


def test_rows_that_the_disk_lost_after_a_power_cut_are_noticed(output):
    """The file has its length, and zeros where the rows should be."""
    with open_journal(output) as journal:
        journal.append(ALL)
    path = partial_folder(output) / EMBEDDINGS
    data = path.read_bytes()
    path.write_bytes(data[: 2 * 4 * SIZE] + bytes(len(data) - 2 * 4 * SIZE))
    with open_journal(output, resume=True) as journal:
        assert journal.finished == 1  # the second has three rows, of which one is left


@pytest.mark.parametrize("missing", [ROWS, EMBEDDINGS])
def test_a_missing_file_counts_as_empty(output, missing):
    with open_journal(output) as journal:
        journal.append(ALL)
    (partial_folder(output) / missing).unlink()
    with open_journal(output, resume=True) as journal:
        assert journal.finished == journal.rows == 0
        journal.append(ALL)
        assert len(journal.embeddings()) == len(ALL_ROWS)


@pytest.mark.parametrize("kept", range(len(ALL) + 2))
def test_cutting_forgets_the_rest(output, kept):
    with open_journal(output) as journal:
        journal.append(ALL)
        journal.cut(kept)
        kept = min(kept, len(ALL))
        assert list(journal.entries()) == [entry for entry, _ in ALL[:kept]]
        np.testing.assert_array_equal(journal.embeddings(), ALL_ROWS[: journal.rows])
        journal.append(ALL[kept:])
        np.testing.assert_array_equal(journal.embeddings(), ALL_ROWS)


def test_an_unfinished_run_is_in_the_way(output):
    with open_journal(output) as journal:
        journal.append(ALL[:2])
    for attempt in (lambda: open_journal(output), lambda: refuse_partial(output, resume=False, force=False)):
        with pytest.raises(OutputError, match=r"--resume .* --force"):
            attempt()
    with open_journal(output, resume=True, force=True) as journal:
        assert journal.finished == 2
    with open_journal(output, force=True) as journal:
        assert journal.finished == journal.rows == 0
        assert content(output)[EMBEDDINGS] == b""


def test_resuming_without_an_unfinished_run_begins_one(output):
    with open_journal(output, resume=True) as journal:
        journal.append(ALL[:1])
        assert journal.finished == 1


def test_a_folder_without_a_description_holds_nothing(output):
    """The run ended before its description was written."""
    partial_folder(output).mkdir()
    (partial_folder(output) / ROWS).write_text("junk")
    assert not has_partial(output)
    with open_journal(output) as journal:
        assert journal.finished == 0


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({**FINGERPRINT, "model_sha256": "cd" * 32}, r"model_sha256 was abababababab… and is cdcdcdcdcdcd…"),
        ({**FINGERPRINT, "options": {"batch_size": 16, "window": None}}, r"\(options\.batch_size was 8 and is 16\)"),
        ({**FINGERPRINT, "inputs": {"count": 5}}, r"\(inputs\.count was 4 and is 5\)"),
        ({**FINGERPRINT, "new": 1}, r"new was absent and is 1"),
        ({k: v for k, v in FINGERPRINT.items() if k != "inputs"}, r"inputs was \{'count': 4\} and is absent"),
        (
            {**FINGERPRINT, "options": {"batch_size": 8, "window": {"center": 40.0}}},
            r"\(options\.window was None and is \{'center': 40\.0\}\)",
        ),
    ],
)
def test_other_settings_are_refused_and_named(output, changed, named):
    with open_journal(output) as journal:
        journal.append(ALL)
    before = content(output)
    with pytest.raises(OutputError, match=named) as caught:
        open_journal(output, changed, resume=True)
    assert "--force" in str(caught.value)
    assert content(output) == before


def test_another_embedding_size_is_refused(output):
    open_journal(output).close()
    with pytest.raises(OutputError, match="embedding_size was 3 and is 4"):
        open_journal(output, size=4, resume=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "radiodino.journal/2", "fingerprint": {}}', "{}"])
def test_a_damaged_description_is_refused(output, text):
    open_journal(output).close()
    (partial_folder(output) / RUN).write_text(text)
    with pytest.raises(OutputError, match="damaged or of another version: begin again with --force"):
        open_journal(output, resume=True)
    open_journal(output, force=True).close()


def test_a_file_in_its_place_is_refused(output):
    partial_folder(output).write_text("")
    with pytest.raises(OutputError, match="in the way"):
        open_journal(output, force=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        open_journal(tmp_path / "missing" / "out.csv")


def test_two_runs_do_not_share_a_journal(output):
    with open_journal(output) as journal:
        journal.append(ALL[:3])
        for flags in ({"resume": True}, {"force": True}):
            with pytest.raises(OutputError, match="another run"):
                open_journal(output, **flags)
        assert len(list(journal.entries())) == 3
    open_journal(output, resume=True).close()


def test_wrong_rows_are_refused(output):
    with open_journal(output) as journal:
        with pytest.raises(ValueError, match="2 frames"):
            journal.append([(Entry("a", "", (1, 2)), rows_of(0, 1))])
        assert journal.finished == 0


def test_what_was_altered_while_in_use_is_noticed(output):
    with open_journal(output) as journal:
        journal.append(ALL)
        path = journal.folder / ROWS
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(OutputError, match="altered"):
            list(journal.entries())


def test_a_line_is_json_with_its_number(output):
    with open_journal(output) as journal:
        journal.append(ALL[:2])
    lines = [json.loads(line) for line in content(output)[ROWS].splitlines()]
    assert [line["item"] for line in lines] == [0, 1]
    assert lines[1]["frames"] == [1, 2, 3]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from radiodino.runtime.embed.entry import Entry
from radiodino.runtime.errors import OutputError
from radiodino.runtime.embed.journal import Journal
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
journal = Journal.open(Path(sys.argv[1]), {}, 3, resume=False, force=False)
try:
    for number in range(1000):
        journal.append([(Entry(f"{number}", "", (None,)), np.full((1, 3), number, np.float32))])
except OutputError as error:
    print(journal.finished, error)
"""


def test_a_full_disk_is_one_sentence_and_leaves_it_usable(output):
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, output], capture_output=True, text=True, check=True)
    finished, _, message = run.stdout.strip().partition(" ")
    assert message == f"cannot write {partial_folder(output)}: File too large"
    assert int(finished) > 0
    with open_journal(output, {}, resume=True) as journal:
        assert journal.finished == int(finished)
        np.testing.assert_array_equal(journal.embeddings()[:, 0], np.arange(int(finished)))
