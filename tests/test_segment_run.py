from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("lightning_fabric")
pytest.importorskip("matplotlib")

import torch
from PIL import Image

from radiodino.runtime.errors import InputError, OutputError, WeightsError
from radiodino.runtime.variants import VARIANTS
from radiodino.train.data.normalise import normalise
from radiodino.train.pretrain.collapse import TrainingError
from radiodino.train.segment.estimate import duration, measure, refuse_too_large
from radiodino.train.segment.examples import Examples
from radiodino.train.segment.heads import build_head
from radiodino.train.segment.loop import train_head
from radiodino.train.segment.pairs import split_pairs
from radiodino.train.segment.pictures import choose
from radiodino.train.segment.recipe import HeadRecipe, SegmentRecipe, ViewRecipe
from radiodino.train.segment.run import segment
from radiodino.train.segment.segmenter import load_segmenter, save_segmenter
from radiodino.train.segment.tokens import StoredTokens
from radiodino.train.weights.load import load_weights

SIDE = 64


@dataclass
class Pairs:
    pixels: np.ndarray
    masks: np.ndarray
    names: tuple[str, ...]
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    skipped: dict[str, str]
    remarks: tuple[str, ...] = ()


def discs(count=18, side=SIDE):
    """Bright discs on noise; every third image has none."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 60, (count, 1, side, side)).astype(np.uint8)
    masks = np.zeros((count, side, side), np.uint8)
    yy, xx = np.mgrid[:side, :side]
    for place in range(count):
        if place % 3 == 2:
            continue
        row, column = random.integers(side // 4, 3 * side // 4, 2)
        masks[place] = (yy - row) ** 2 + (xx - column) ** 2 < random.integers(side // 8, side // 5) ** 2
        pixels[place, 0][masks[place] > 0] += 140
    names = tuple(f"folder/set/{place}.png" for place in range(count))
    labels = tuple("normal" if place % 3 == 2 else "benign" for place in range(count))
    keys = tuple(name.removeprefix("folder/") for name in names)
    return Pairs(
        pixels, masks, names, keys, labels, ("set",) * count, {"/home/someone/set/bad.png": "its mask is larger"}
    )


@pytest.fixture
def known(toy, monkeypatch):
    """The toy, found by its name like any member of the family."""
    monkeypatch.setitem(VARIANTS, "toy", toy)
    return toy


@pytest.fixture(scope="module")
def split():
    return split_pairs(discs(), fractions=(0.5, 0.2, 0.3))


LITE = HeadRecipe(
    epochs=4, batch_size=4, learning_rate=3e-3, warmup_epochs=1, warmup_learning_rate=1e-3, cross_entropy=1.0
)
RECIPE = SegmentRecipe(image_size=SIDE, views=ViewRecipe(count=3), lite=LITE, paper=replace(LITE, epochs=1))


def run(split, out, toy, recipe=RECIPE, **options):
    given = {"variant": toy, "weights": "random", "heads": ["lite"], "accelerator": "cpu", "pictures": 0, **options}
    return segment(split, ["/home/someone/set.zip"], out, recipe=recipe, **given)


def weights_of(out, head="lite"):
    return torch.load(out / f"segmenter-{head}.pth", weights_only=True)["model"]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def whole(split, toy, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    said = []
    run(split, out, toy, say=said.append, pictures=1)
    return out, said


def test_a_run_learns_and_writes_all_down(whole, split):
    out, said = whole
    outcome = json.loads((out / "segment.json").read_text())
    found = outcome["results"]["heads"]["lite"]
    assert found["log"][-1]["training_loss"] < 0.8 * found["log"][0]["training_loss"]
    assert [row["epoch"] for row in found["log"]] == [1, 2, 3, 4]
    assert found["best_epoch"] == 1 + int(np.argmin([row["validation_loss"] for row in found["log"]]))
    assert outcome["task"] == "segment"
    assert outcome["data"]["inputs"] == ["/home/someone/set.zip"]
    assert outcome["data"]["skipped"] == {"/home/someone/set/bad.png": "its mask is larger"}
    assert outcome["data"]["counts"]["train"] == {"images": 9, "with a lesion": 6, "benign": 6, "normal": 3}
    assert outcome["settings"]["recipe"]["lite"]["epochs"] == 4
    assert "count as 1" in outcome["settings"]["empty_masks"]
    images = found["per_image"]
    assert [image["name"] for image in images] == [split.pairs.names[place] for place in split.places["test"]]
    lesions = [image["dice"] for image in images if image["lesion"]]
    assert found["lesions"]["dice"] == pytest.approx(np.mean(lesions))
    assert found["all"]["images"] == len(images) == 6
    assert set(found["by_class"]) == {"benign", "normal"}
    assert found["at_half"]["all"]["images"] == 6
    assert (found["at_half"] == {name: found[name] for name in found["at_half"]}) == (found["threshold"] == 0.5)
    table = (out / "segment.md").read_text()
    assert "| lite |" in table
    assert f"{100 * found['lesions']['dice']:.1f}" in table
    assert any("CPU" in line or "cpu" in line for line in said)
    assert any("lite" in line and "GMACs" in line and "about" in line for line in said)
    assert any("1 images, the first /home/someone/set/bad.png" in line for line in said)
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) == 2  # one with a lesion, one without
    with Image.open(pictures[0]) as picture:
        assert picture.width > 2 * picture.height


def test_the_checkpoint_gives_the_tested_masks_again(whole, split, known):
    out, _ = whole
    segmenter, document = load_segmenter(out / "segmenter-lite.pth")
    assert not segmenter.training
    place = split.places["test"][0]
    images = normalise(torch.from_numpy(split.pairs.pixels[place][None]))
    with torch.no_grad():
        logits = segmenter(images)
    assert logits.shape == (1, SIDE, SIDE)
    found = (logits.sigmoid() >= document["threshold"])[0].numpy()
    truth = split.pairs.masks[place] > 0
    both, total = (found & truth).sum(), found.sum() + truth.sum()
    first = json.loads((out / "segment.json").read_text())["results"]["heads"]["lite"]["per_image"][0]
    assert first["dice"] == pytest.approx(2 * both / total if total else 1.0)


def test_the_document_says_what_an_export_needs(whole, known):
    document = load_segmenter(whole[0])[1]  # the folder will do: it holds no other checkpoint
    assert (document["task"], document["variant"], document["image_size"]) == ("segment", "toy", SIDE)
    assert document["head"] == {"kind": "lite", "embedding_size": 48, "patch": 16, "channels": [96, 64, 32],
                                "blocks": [3, 2, 1], "detail": 16, "dropout": 0.3}  # fmt: skip
    assert document["preprocessing"]["resize"] == [SIDE, SIDE]
    assert document["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert document["classes"] == ["lesion"]
    assert 0 < document["threshold"] < 1
    assert document["training_set"]["name"] == "set.zip"
    assert document["training_set"]["counts"]["test"]["images"] == 6
    assert document["training_set"]["skipped"] == ["bad.png: its mask is larger"]
    assert "seed 0" in document["training_set"]["split"]
    assert document["weights"]["kind"] == "random"
    assert len(document["weights"]["sha256"]) == 64
    assert document["test_metrics"]["all"]["images"] == 6
    assert "/home" not in json.dumps(document)


def test_the_backbone_is_that_of_the_weights_and_load_weights_finds_it(whole, toy):
    out, _ = whole
    given, _ = load_weights(toy, "random", image_size=SIDE)
    found, source = load_weights(toy, str(out / "segmenter-lite.pth"), image_size=SIDE)
    assert same(given.state_dict(), found.state_dict())
    assert "model, prefix backbone." in source.detail


def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(whole, split, toy, tmp_path):
    run(split, tmp_path, toy, stop_after=2)
    assert not same(weights_of(whole[0]), weights_of(tmp_path))
    run(split, tmp_path, toy, resume=True)
    assert same(weights_of(whole[0]), weights_of(tmp_path))
    outcomes = [json.loads((out / "segment.json").read_text()) for out in (whole[0], tmp_path)]
    first, second = (outcome["results"]["heads"]["lite"] for outcome in outcomes)
    assert [row["training_loss"] for row in first["log"]] == [row["training_loss"] for row in second["log"]]
    assert first["per_image"] == second["per_image"]


def test_a_training_is_neither_overwritten_nor_mistaken_for_another(whole, split, toy, tmp_path):
    run(split, tmp_path, toy, stop_after=1)
    with pytest.raises(OutputError, match="--resume"):
        run(split, tmp_path, toy)
    for changes, part in (
        ({"recipe": replace(RECIPE, seed=1)}, "recipe"),
        ({"recipe": replace(RECIPE, lite=replace(LITE, clip=2.0))}, "recipe"),
        ({"weights": str(whole[0] / "segmenter-lite.pth")}, "weights"),
    ):
        with pytest.raises(InputError, match=f"begun with another {part}"):
            run(split, tmp_path, toy, resume=True, **changes)
    other = split_pairs(discs(), fractions=(0.5, 0.2, 0.3), seed=4)
    with pytest.raises(InputError, match="begun with another images"):
        run(other, tmp_path, toy, resume=True)
    changed = replace(RECIPE, paper=replace(RECIPE.paper, epochs=9))
    assert changed.document_of("lite") == RECIPE.document_of("lite")  # what concerns another head is no difference


def test_both_heads_stand_side_by_side(toy, tmp_path):
    split = split_pairs(discs(12, 32), fractions=(0.4, 0.3, 0.3))
    short = replace(LITE, epochs=1)
    recipe = SegmentRecipe(image_size=32, views=ViewRecipe(count=1), lite=short, paper=short)
    run(split, tmp_path, toy, recipe, heads=["paper", "lite"])
    found = json.loads((tmp_path / "segment.json").read_text())["results"]["heads"]
    assert list(found) == ["paper", "lite"]
    assert found["paper"]["gmacs"] > 20 * found["lite"]["gmacs"]
    names = [[image["name"] for image in head["per_image"]] for head in found.values()]
    assert names[0] == names[1]
    rows = [line for line in (tmp_path / "segment.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split()[1] for row in rows] == ["head", "paper", "lite"]
    for head in found:
        assert (tmp_path / f"segmenter-{head}.pth").is_file()


class Training:
    """A head's training without the rest of a run."""

    def __init__(self, split, toy, folder, recipe):
        from lightning_fabric import Fabric

        self.fabric = Fabric(accelerator="cpu", devices=1, precision=recipe.precision)
        self.backbone = load_weights(toy, "random", image_size=SIDE)[0].requires_grad_(False)
        self.examples = Examples(split, self.backbone, recipe, self.fabric, folder)
        self.recipe, self.folder = recipe, folder

    def __call__(self, name="state", **options):
        head = build_head("lite", 48, 16)
        done = train_head(head, self.examples, self.recipe, self.fabric, self.folder / name, {}, **options)
        return head, done


def test_stored_tokens_are_those_of_the_backbone(split, toy, tmp_path):
    training = Training(split, toy, tmp_path, RECIPE)
    batch = training.examples.training(np.array([2, 0]), epoch=4)
    assert batch.tokens.shape == (2, 16, 48)
    with torch.no_grad():
        expected = training.backbone.forward_features(batch.images)[:, 1:]
    torch.testing.assert_close(batch.tokens, expected, rtol=2e-3, atol=2e-3)  # kept in float16
    for batch in training.examples.validation():
        with torch.no_grad():
            expected = training.backbone.forward_features(batch.images)[:, 1:]
        torch.testing.assert_close(batch.tokens, expected, rtol=1e-5, atol=1e-5)
    assert not list(tmp_path.iterdir())


def test_every_version_has_its_turn(split, toy, tmp_path):
    examples = Training(split, toy, tmp_path, RECIPE).examples
    row = np.array([0])
    first, second, third, fourth = (examples.training(row, epoch) for epoch in range(4))
    plain = normalise(torch.from_numpy(split.pairs.pixels[split.places["train"][0]][None]))
    assert torch.equal(first.images, plain)
    torch.testing.assert_close(second.images, plain.flip(-1), atol=1e-4, rtol=0)
    assert (third.images - plain).abs().max() > 0.1
    assert torch.equal(fourth.tokens, first.tokens)


def test_without_stored_versions_each_epoch_has_new_ones(split, toy, tmp_path):
    training = Training(split, toy, tmp_path, replace(RECIPE, views=ViewRecipe(count=0), lite=replace(LITE, epochs=1)))
    first, second = (training.examples.training(np.array([0]), epoch) for epoch in range(2))
    assert (first.images - second.images).abs().max() > 0.1
    with torch.no_grad():
        torch.testing.assert_close(first.tokens, training.backbone.forward_features(first.images)[:, 1:])
    _, done = training()
    assert done.epochs == 1


def test_micro_batches_add_up_to_the_batch(split, toy, tmp_path):
    # Batch norm sees each pass by itself, so it is fixed here: all that is left are the gradients.
    recipe = replace(RECIPE, views=ViewRecipe(count=1), lite=replace(LITE, epochs=1, batch_size=6, cross_entropy=0.0))
    whole = Training(split, toy, tmp_path, recipe)
    parts = Training(split, toy, tmp_path, replace(recipe, lite=replace(recipe.lite, micro_batch=2)))
    found = []
    for training in (whole, parts):
        head = build_head("lite", 48, 16)
        for module in head.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode=True, module=module: module
                module.training = False
        train_head(head, training.examples, training.recipe, training.fabric, tmp_path / str(len(found)), {})
        found.append(head.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, atol=1e-4, rtol=1e-3)


def test_training_ends_early_and_keeps_the_best(split, toy, tmp_path):
    # After a good start comes a rate that ruins it.
    recipe = replace(RECIPE, lite=replace(LITE, epochs=9, patience=2, learning_rate=50.0, warmup_epochs=2, clip=0.0))
    head, done = Training(split, toy, tmp_path, recipe)()
    assert done.epochs == done.best_epoch + 2 < 9
    state = torch.load(tmp_path / "state", weights_only=True)
    assert same(head.state_dict(), state["best"])
    assert not same(head.state_dict(), state["head"])
    assert done.best_loss == min(row["validation_loss"] for row in done.log)


def test_bf16_trains_too_and_validates_in_float32(split, toy, tmp_path):
    training = Training(split, toy, tmp_path, replace(RECIPE, precision="bf16-mixed", lite=replace(LITE, epochs=1)))
    head, done = training()
    assert np.isfinite(done.best_loss)
    assert all(value.dtype in (torch.float32, torch.int64) for value in head.state_dict().values())


def test_a_loss_that_is_not_finite_ends_the_training(split, toy, tmp_path):
    training = Training(
        split, toy, tmp_path, replace(RECIPE, lite=replace(LITE, learning_rate=1e30, warmup_epochs=0, clip=0))
    )
    with pytest.raises(TrainingError, match=r"lite head is nan.*lower lite\.learning_rate"):
        training()


def test_an_interrupt_says_what_is_kept(split, toy, tmp_path):
    def interrupt(done, total):
        assert total == 12  # 3 steps in each of 4 epochs
        if done == 5:
            raise KeyboardInterrupt

    training = Training(split, toy, tmp_path, RECIPE)
    with pytest.raises(KeyboardInterrupt, match=r"in epoch 2 of 4 of the lite head, the 1 before it .*--resume"):
        training(progress=interrupt)
    whole, _ = training("other")
    resumed, _ = training(resume=True)
    assert same(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", None])
def test_a_damaged_training_is_refused(split, toy, tmp_path, content):
    if content is None:
        torch.save({"head": {}}, tmp_path / "state")
    else:
        (tmp_path / "state").write_bytes(content)
    with pytest.raises(WeightsError):
        Training(split, toy, tmp_path, RECIPE)(resume=True)


def test_what_is_no_segmenter_is_refused(whole, known, tmp_path):
    path = tmp_path / "other.pth"
    content = torch.load(whole[0] / "segmenter-lite.pth", weights_only=True)

    def saved(**changes):
        torch.save({**content, **changes}, path)
        return path

    def document(**changes):
        return {**content["document"], **changes}

    model = content["model"]
    for changes, reason in (
        ({"document": None}, "holds no segmenter"),
        ({"document": document(task="classify")}, "holds no segmenter"),
        ({"document": document(schema=99)}, "schema 99"),
        ({"document": document(threshold=None)}, "is damaged"),
        ({"document": document(head={"kind": "unet"})}, "is damaged"),
        ({"document": document(head={"kind": "lite", "embedding_size": 48})}, "damaged or of another version"),
        ({"document": document(image_size=96)}, "damaged or of another version"),
        ({"document": document(variant="huge")}, "there is no variant 'huge'"),
        ({"model": {**model, "head.leave.bias": torch.zeros(2)}}, "damaged or of another version"),
        ({"model": {**model, "head.leave.bias": torch.full((1,), torch.nan)}}, "not finite"),
    ):
        with pytest.raises((WeightsError, InputError), match=reason):
            load_segmenter(saved(**changes))
    with pytest.raises(WeightsError, match="there is no file"):
        load_segmenter(tmp_path / "none.pth")
    segmenter, found = load_segmenter(saved())
    save_segmenter(path, segmenter, found)
    assert load_segmenter(path)[1] == content["document"]


def test_images_without_a_lesion_can_be_left_out():
    with_all, without = split_pairs(discs(30)), split_pairs(discs(30), lesions_only=True)
    for part, places in without.places.items():
        assert with_all.lesions[places].all()
        assert set(places) == {place for place in with_all.places[part] if with_all.lesions[place]}
    assert "left out" in without.origin
    assert "left out" not in with_all.origin
    assert sum(len(places) for places in with_all.places.values()) == 30


def test_a_split_is_stratified_seeded_and_grouped():
    first, again, other = (split_pairs(discs(30), seed=seed) for seed in (0, 0, 1))
    assert all((first.places[part] == again.places[part]).all() for part in first.places)
    assert any(set(first.places[part]) != set(other.places[part]) for part in first.places)
    assert first.counts()["train"] == {"images": 21, "with a lesion": 14, "benign": 14, "normal": 7}
    grouped = split_pairs(discs(30), group=r"/\d*(\d)\.png")
    for places in grouped.places.values():
        digits = {place % 10 for place in places}
        assert set(places) == {place for place in range(30) if place % 10 in digits}


def test_a_split_without_a_lesion_is_refused():
    with pytest.raises(InputError, match="the val split holds 0 images and none with a lesion"):
        split_pairs(discs(6), fractions=(0.8, 0.0, 0.2))


def test_pictures_show_the_worst_and_the_best():
    dice = np.array([0.5, 0.1, 0.9, 1.0, 0.7, 0.0])
    lesions = np.array([True, True, True, False, True, False])
    assert choose(dice, lesions, 2) == [1, 2, 5]
    assert choose(dice, lesions, 9) == [1, 0, 4, 2, 5]
    assert choose(dice[:3], lesions[:3], 1) == [1]


def test_too_large_a_pass_is_refused_with_one_that_fits():
    recipe = HeadRecipe()
    refuse_too_large(1 << 20, "paper", recipe, torch.device("cpu"))
    with pytest.raises(InputError, match=r"needs about 1048576 GiB.*--set paper\.micro_batch=1,"):
        refuse_too_large(1 << 50, "paper", recipe, torch.device("cpu"))


def test_the_estimate_counts_what_a_gradient_needs(toy):
    from lightning_fabric import Fabric

    head = build_head("paper", 48, 16, channels=8, blocks=2)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    backbone, _ = load_weights(toy, "random", image_size=SIDE)
    found = measure(backbone, head, Fabric(accelerator="cpu", devices=1), SIDE)
    # Four maps of each block, the one before them, and a few of one channel; of float32.
    assert 8 * (4 * 2 + 1) <= found.activation_bytes / SIDE**2 / 4 < 8 * (4 * 2 + 1) + 6
    assert same(head.state_dict(), before)
    recipe = SegmentRecipe(views=ViewRecipe(count=2), paper=HeadRecipe(epochs=5))
    expected = (10 * 2 + 3) * found.backbone_seconds + 5 * (10 * found.step_seconds + 3 * found.forward_seconds)
    assert found.training_seconds(recipe, "paper", 10, 3) == pytest.approx(expected)
    assert found.memory_bytes(HeadRecipe(micro_batch=2), 10) == int(1.1 * 2 * found.activation_bytes)
    assert found.memory_bytes(HeadRecipe(), 10) == int(1.1 * 10 * found.activation_bytes)


def test_tokens_that_do_not_fit_on_the_disk_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"need .* GB .* views\.count"):
        StoredTokens(10**9, 784, 768, half=True, folder=tmp_path)


@pytest.mark.parametrize(("seconds", "text"), [(0.1, "1 s"), (40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_durations_in_words(seconds, text):
    assert duration(seconds) == text


# The command.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images and masks on disk, next to each other."""
    place = tmp_path_factory.mktemp("set")
    pairs = discs(12, 32)
    for kind in ("images", "masks"):
        (place / kind).mkdir()
    for number, (label, pixels, mask) in enumerate(zip(pairs.labels, pairs.pixels, pairs.masks, strict=True)):
        Image.fromarray(pixels[0]).save(place / "images" / f"{label}_{number}.png")
        Image.fromarray(255 * mask).save(place / "masks" / f"{label}_{number}.png")
    return place


OPTIONS = ["--weights", "random", "--variant", "toy", "--image-size", 32, "--accelerator", "cpu", "--fractions",
           "0.4,0.3,0.3", "--epochs", 1, "--batch-size", 4, "--set", "lite.warmup_epochs=0",
           "--set", "views.count=1", "--pictures", 0]  # fmt: skip


def test_the_command_trains_resumes_and_refuses(command, refused, folder, known, tmp_path):
    from radiodino.train.cli import main

    out = tmp_path / "out"
    arguments = ["segment", "--data", folder, "--out", out, *OPTIONS]
    ended = command(main, *arguments)
    assert ended.status == 0, ended.err
    assert "| lite |" in ended.out
    assert f"{out / 'segmenter-lite.pth'}" in ended.out
    assert "device   cpu" in ended.out
    assert json.loads((out / "segment.json").read_text())["data"]["counts"]["test"]["images"] > 0
    assert "add --resume" in refused(main, *arguments)
    before = weights_of(out)
    assert command(main, *arguments, "--resume").status == 0
    assert same(before, weights_of(out))


def test_show_prints_the_resolved_recipe(command, tmp_path):
    from radiodino.train.cli import main

    (tmp_path / "recipe.yaml").write_text("lite:\n  patience: 3\n")
    ended = command(main, "segment", "--show", "--head", "both", "--epochs", 20, "--config", tmp_path / "recipe.yaml",
                    "--set", "views.zoom=1.5")  # fmt: skip
    recipe = json.loads(ended.out)
    assert (recipe["lite"]["patience"], recipe["paper"]["patience"]) == (3, 10)
    assert (recipe["lite"]["epochs"], recipe["paper"]["epochs"]) == (20, 20)
    assert (recipe["image_size"], recipe["views"]["zoom"]) == (448, 1.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--data and the results' folder with --out"),
        (["--head", "unet"], "paper, lite, both"),
        (["--show", "--set", "views=3"], "is no set of entries"),
        (["--data", "x", "--out", "o", "--variant", "huge"], "tiny, tiny-sp"),
        (["--data", "x", "--out", "o", "--image-size", "450"], "multiple of the patch"),
        (["--data", "x", "--out", "o", "--fractions", "0.5,0.5"], "three shares"),
        (["--data", "no/such", "--out", "o"], "no/such"),
    ],
)
def test_errors_are_one_sentence(refused, arguments, sentence, here):
    from radiodino.train.cli import main

    assert sentence in refused(main, "segment", *arguments)


def test_the_options_must_agree_with_each_other(refused, folder, here):
    from radiodino.train.cli import main

    arguments = ["segment", "--data", folder, "--out", "out", "--weights", "random", "--image-size", 32]
    assert "must add up to 1" in refused(main, *arguments, "--fractions", "0.5,0.5,0.5")
    shares = ["--fractions", "0.4,0.3,0.3"]
    assert "no accelerator 'tpu'" in refused(main, *arguments, *shares, "--accelerator", "tpu")
    assert "at least two patches (32 px)" in refused(main, *arguments, *shares, "--image-size", 16)


def test_the_commands_module_loads_no_torch():
    code = "import radiodino.train.commands.segment, sys; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
