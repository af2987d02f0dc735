from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("yaml")
pytest.importorskip("lightning_fabric")

from radiodino.train.cli import main
from radiodino.train.data.listing import list_data

PRETRAIN = [
    "cache_size=32", "head.out_dim=32", "head.hidden_dim=16", "head.bottleneck_dim=8", "precision=32-true",
    "crops.global_size=32", "crops.local_size=16", "crops.local_count=1", "optimiser.warmup_epochs=0",
]  # fmt: skip


@pytest.fixture
def folder(here):
    random = np.random.default_rng(0)
    for label in ("a", "b"):
        (here / "d" / label).mkdir(parents=True)
        for index in range(10):
            pixels = random.integers(0, 256, (32, 32), np.uint8)
            Image.fromarray(pixels).save(here / "d" / label / f"p{index // 2}_{index}.png")
    return "d"


def test_a_split_is_written_down(command, folder):
    ended = command(main, "split", folder, "-o", "splits.csv", "--fractions", "0.5,0.2,0.3")
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "wrote    splits.csv, 20 images",
        "split    seeded and stratified, 0.5/0.2/0.3, seed 0",
        "         d: 10 train, 4 val, 6 test",
    ]
    listing = list_data(["splits.csv"])
    counts = Counter((image.label, image.split) for image in listing)
    assert [counts["a", split] for split in ("train", "val", "test")] == [5, 2, 3]
    again = list_data([folder]).completed(fractions=(0.5, 0.2, 0.3))[0]
    assert [image.split for image in listing] == [image.split for image in again]


def test_groups_seed_and_notes(command, folder):
    Path("d/notes.txt").touch()
    ended = command(main, "split", folder, "-o", "one.csv", "--group", r"(p\d)_", "--seed", 4)
    assert ended.err == "note     d: skipped as no images: 1 .txt\n"
    where = {}
    for image in list_data(["one.csv"]):
        where.setdefault(Path(image.item.name).name[:2], set()).add(image.split)
    assert {len(splits) for splits in where.values()} == {1}
    assert len(where) == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["d", "-o", "splits.txt"], "splits.txt must end in .csv"),
        (["d", "-o", "there.csv"], "there.csv exists already: add --force"),
        (["d", "-o", "none/splits.csv"], "the folder none does not exist"),
        (["e", "-o", "splits.csv"], "no readable file or folder e"),
        (["d", "-o", "splits.csv", "--fractions", "0.7,0.3"], "three numbers with commas between, as 0.7,0.1,0.2, not"),
        (["d", "-o", "splits.csv", "--fractions", "a,b,c"], "three numbers"),
        (["d", "-o", "splits.csv", "--fractions", "0.7,0.1,0.1"], "must add up to 1"),
        (["d", "-o", "splits.csv", "--group", "("], "no regular expression"),
        (["d"], "see --help"),
    ],
)
def test_errors_are_one_sentence(refused, folder, arguments, sentence):
    Path("there.csv").touch()
    assert sentence in refused(main, "split", *arguments)
    assert not Path("splits.csv").exists()


def test_force_replaces(command, folder):
    Path("splits.csv").touch()
    assert command(main, "split", folder, "-o", "splits.csv", "--force").status == 0
    assert len(list_data(["splits.csv"])) == 20


def test_pretraining_takes_the_split_and_names_what_it_cannot_read(command, refused, folder):
    command(main, "split", folder, "-o", "splits.csv", "--fractions", "0.6,0,0.4")
    broken = next(image.item.name for image in list_data(["splits.csv"]) if image.split == "train")
    Path(broken).write_bytes(b"text")
    settings = [part for setting in PRETRAIN for part in ("--set", setting)]
    arguments = ["--data", "splits.csv", "--out", "run", "--epochs", 1, "--batch-size", 11, "--accelerator", "cpu"]
    ended = command(main, "pretrain", *arguments, "--split", "train", *settings)
    assert ended.status == 0, ended.err
    assert f"note     1 of 12 images cannot be read and are left out: {broken} (it is not an image" in ended.err
    rows = Path("run/unreadable.csv").read_text().splitlines()
    assert rows[0] == "name,reason"
    assert rows[1].startswith(f"{broken},")
    document = json.loads(Path("run/recipe.json").read_text())
    assert (document["inputs"], document["split"]) == (["splits.csv"], "train")
    message = refused(main, "pretrain", *arguments, "--split", "test", "--resume", *settings)
    assert "fewer than one batch" in message
    message = refused(main, "pretrain", *arguments, "--resume", *settings)
    assert "was begun with another split" in message
