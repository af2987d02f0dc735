from __future__ import annotations

import csv
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.embed import results as results_module
from radiodino.runtime.embed.entry import Entry
from radiodino.runtime.embed.results import Results
from radiodino.runtime.embed.tables import errors_path, info_path, notices_path, refuse_output, write_table
from radiodino.runtime.errors import InputError, MissingExtraError, OutputError

PROVENANCE = {"variant": "tiny", "model_sha256": "ab" * 32, "intended_use": "Research use only – nicht für Diagnosen."}
ENTRIES = [
    Entry("data/a.png", "benign", (None,)),
    Entry("data/b.dcm", "mali,gnant", (1, 2, 3), ((1, "no window"), (2, 'values "clipped"'))),
    Entry("data/c.jpg", "", reason="its JPEG data are damaged or truncated"),
    Entry('data/ü"\n.png', "", (None,), ((0, "no window"),)),
]
NAMES = ["data/a.png", "data/b.dcm#1", "data/b.dcm#2", "data/b.dcm#3", 'data/ü"\n.png']
LABELS = ["benign", *["mali,gnant"] * 3, ""]
SUFFIXES = [".npz", ".csv", ".parquet"]


def results(entries=ENTRIES, size=4, provenance=PROVENANCE) -> Results:
    rows = sum(len(entry.frames) for entry in entries)
    embeddings = np.random.default_rng(3).standard_normal((rows, size)).astype(np.float32)
    return Results(embeddings, lambda: iter(entries), provenance)


def read_csv(path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def read_table(path):
    """Names, labels, embeddings, provenance."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert set(file) == {"embeddings", "filenames", "labels", "provenance"}
            assert file["embeddings"].dtype == np.float32
            assert file["filenames"].dtype.kind == file["labels"].dtype.kind == "U"
            return (
                file["filenames"].tolist(), file["labels"].tolist(), file["embeddings"],
                json.loads(str(file["provenance"])),
            )  # fmt: skip
    if path.suffix == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        table = pq.read_table(path)
        assert table.column_names == ["filename", "label", *(f"f{i}" for i in range(table.num_columns - 2))]
        columns = [column.to_numpy() for column in table.columns[2:]]
        assert {column.dtype for column in columns} == {np.dtype("float32")}
        provenance = json.loads(table.schema.metadata[b"radiodino"])
        return table["filename"].to_pylist(), table["label"].to_pylist(), np.stack(columns, 1), provenance
    header, *rows = read_csv(path)
    assert header == ["filename", "label", *(f"f{i}" for i in range(len(header) - 2))]
    embeddings = np.array([[np.float32(value) for value in row[2:]] for row in rows])
    provenance = json.loads(info_path(path).read_text(encoding="utf-8"))
    return [row[0] for row in rows], [row[1] for row in rows], embeddings, provenance


@pytest.fixture(params=SUFFIXES)
def output(request, tmp_path):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"out{request.param}"


def test_a_table_holds_what_the_run_found(output):
    written = write_table(output, results(), force=False)
    names, labels, embeddings, provenance = read_table(output)
    assert (names, labels, provenance) == (NAMES, LABELS, PROVENANCE)
    assert embeddings.tobytes() == results().embeddings.tobytes()
    assert read_csv(errors_path(output)) == [
        ["filename", "reason"],
        ["data/c.jpg", "its JPEG data are damaged or truncated"],
    ]
    assert read_csv(notices_path(output)) == [
        ["filename", "notice"],
        ["data/b.dcm#2", "no window"],
        ["data/b.dcm#3", 'values "clipped"'],
        ['data/ü"\n.png', "no window"],
    ]
    beside = [errors_path(output), notices_path(output), *([info_path(output)] if output.suffix == ".csv" else [])]
    assert written == [output, *beside]
    assert sorted(written) == sorted(output.parent.iterdir())
    assert stat.S_IMODE(output.stat().st_mode) & 0o600 == 0o600


def test_nothing_lies_beside_it_without_need(output):
    write_table(output, results(ENTRIES[:1]), force=False)
    beside = {info_path(output)} if output.suffix == ".csv" else set()
    assert set(output.parent.iterdir()) == {output, *beside}


def test_names_beside_it_carry_the_whole_name(output):
    assert errors_path(output).name == f"{output.name}.errors.csv"
    assert notices_path(output).name == f"{output.name}.notices.csv"
    assert info_path(output).name == f"{output.name}.info.json"


def test_equal_results_are_equal_files(output):
    write_table(output, results(), force=False)
    first = output.read_bytes()
    write_table(output, results(), force=True)
    assert output.read_bytes() == first


def test_several_chunks(output, monkeypatch):
    entries = [Entry(f"{number}.png", str(number % 7), (None,)) for number in range(50)]
    write_table(output, results(entries), force=False)
    whole = read_table(output)
    monkeypatch.setattr(results_module, "CHUNK_ROWS", 8)
    write_table(output, results(entries), force=True)
    names, labels, embeddings, _ = read_table(output)
    assert (names, labels) == whole[:2]
    assert names[-1] == "49.png"
    np.testing.assert_array_equal(embeddings, whole[2])
    if output.suffix == ".parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        assert pq.ParquetFile(output).num_row_groups == 7


def test_embeddings_are_read_from_a_memory_map(output, tmp_path):
    expected = results()
    raw = tmp_path / "raw.f32"
    expected.embeddings.tofile(raw)
    mapped = np.memmap(raw, "<f4", "r", shape=expected.embeddings.shape)
    write_table(output, Results(mapped, expected.entries, PROVENANCE), force=False)
    np.testing.assert_array_equal(read_table(output)[2], expected.embeddings)


floats = st.floats(width=32, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(floats, min_size=1, max_size=6))
def test_floats_in_csv_give_the_same_bits_again_and_are_short(tmp_path_factory, values):
    output = tmp_path_factory.mktemp("floats") / "out.csv"
    row = np.array([values], np.float32)
    write_table(output, Results(row, lambda: [ENTRIES[0]], {}), force=False)
    assert read_table(output)[2].tobytes() == row.tobytes()
    for cell, value in zip(read_csv(output)[1][2:], row[0], strict=True):
        if np.isfinite(value) and value:
            digits = cell.lower().partition("e")[0].replace(".", "").strip("-0")
            assert len(digits) <= 9
            if len(digits) > 1:
                shorter = f"{float(value):.{len(digits) - 2}e}"
                assert np.float32(shorter) != value


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(name=texts, label=st.one_of(texts, st.from_regex(r"'{0,2}[=+\-@\t\r].{0,3}", fullmatch=True)))
def test_texts_in_csv_are_no_formulas_and_can_be_read_exactly(tmp_path_factory, name, label):
    output = tmp_path_factory.mktemp("texts") / "out.csv"
    write_table(output, results([Entry(name, label, (None,))], 1), force=False)
    for cell, text in zip(read_csv(output)[1][:2], (name, label), strict=True):
        is_marked = cell.startswith("'") and cell.lstrip("'")[:1] in tuple("=+-@\t\r")
        assert (cell[1:] if is_marked else cell) == text
        if cell[:1] in tuple("=+-@\t\r"):
            float(cell)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ('=HYPERLINK("http://x","y")', '"\'=HYPERLINK(""http://x"",""y"")"'),
        ("@SUM(1)", "'@SUM(1)"),
        ("-1", "-1"),
        ("+2.5e-3", "+2.5e-3"),
        ("-1+1", "'-1+1"),
        ("'=x", "''=x"),
        ("'plain", "'plain"),
        ("a=b", "a=b"),
        ("", ""),
        ("\t=x", "'\t=x"),
        ("a\rb", '"a\rb"'),
    ],
)
def test_cells(text, cell, tmp_path):
    output = tmp_path / "out.csv"
    write_table(output, results([Entry("n", text, (None,))], 1), force=False)
    line = output.read_bytes().decode().partition("\n")[2]
    assert line.startswith(f"n,{cell},")


def test_binary_tables_hold_texts_as_they_are(tmp_path):
    output = tmp_path / "out.npz"
    write_table(output, results([Entry("=a", "@b", (None,))]), force=False)
    assert read_table(output)[:2] == (["=a"], ["@b"])


@pytest.mark.parametrize("name", ["out.txt", "out", "out.csv.gz", ".csv"])
def test_an_unknown_suffix_is_refused_naming_the_three(tmp_path, name):
    with pytest.raises(InputError, match=r"\.npz, \.csv, \.parquet"):
        refuse_output(tmp_path / name, force=True, resume=True)


def test_suffixes_in_capitals(tmp_path):
    write_table(tmp_path / "OUT.CSV", results(), force=False)
    assert info_path(tmp_path / "OUT.CSV").exists()


def test_an_existing_table_is_refused_and_replaced_by_force(output):
    output.write_text("precious")
    for attempt in (
        lambda: refuse_output(output, force=False, resume=True),
        lambda: write_table(output, results(), force=False),
    ):
        with pytest.raises(OutputError, match="--force"):
            attempt()
    assert output.read_text() == "precious"
    write_table(output, results(), force=True)
    assert read_table(output)[0] == NAMES


@pytest.mark.parametrize("beside", [errors_path, notices_path, info_path])
def test_what_lies_beside_from_an_earlier_run_is_refused_and_removed_by_force(output, beside):
    beside(output).write_text("stale")
    with pytest.raises(OutputError, match=r"exists already.*--force"):
        refuse_output(output, force=False, resume=False)
    refuse_output(output, force=False, resume=True)
    write_table(output, results(ENTRIES[:1]), force=True)
    is_needed = beside is info_path and output.suffix == ".csv"
    assert beside(output).exists() == is_needed
    assert not is_needed or beside(output).read_text() != "stale"


def test_a_missing_folder_is_refused(output):
    with pytest.raises(OutputError, match="does not exist"):
        refuse_output(output.parent / "missing" / output.name, force=False, resume=False)


class BrokenOffError(Exception):
    pass


def test_a_table_appears_whole_or_not_at_all(output):
    """Where writing breaks off, what was there before is still there."""
    write_table(output, results(), force=False)
    before = {path: path.read_bytes() for path in output.parent.iterdir()}

    def breaking():
        yield ENTRIES[0]
        raise BrokenOffError

    broken = Results(results().embeddings, breaking, PROVENANCE)
    with pytest.raises(BrokenOffError):
        write_table(output, broken, force=True)
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == before


def test_without_pyarrow_parquet_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"radiodino\[parquet\]"):
        refuse_output(tmp_path / "out.parquet", force=False, resume=False)
    refuse_output(tmp_path / "out.csv", force=False, resume=False)


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from radiodino.runtime.embed.entry import Entry
from radiodino.runtime.errors import OutputError
from radiodino.runtime.embed.results import Results
from radiodino.runtime.embed.tables import refuse_output, write_table
output = Path(sys.argv[1])
refuse_output(output, force=False, resume=False)  # where an engine is loaded, it is loaded here
entries = [Entry(f"{i}.png", "", (None,)) for i in range(200)]
results = Results(np.random.default_rng(0).random((200, 64), np.float32), lambda: entries, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
try:
    write_table(output, results, force=False)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_leaves_nothing(output):
    pytest.importorskip("resource")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, output], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"cannot write {output}: ")
    assert "File too large" in run.stdout
    assert run.stderr == ""
    assert os.listdir(output.parent) == []
