from __future__ import annotations

import csv
import math
from itertools import chain

import numpy as np
import pytest

pytest.importorskip("timm")
pytest.importorskip("torchvision")
pytest.importorskip("yaml")
torch = pytest.importorskip("torch")
fabric_package = pytest.importorskip("lightning_fabric")

from torch import nn  # noqa: E402
from torch.optim.optimizer import register_optimizer_step_pre_hook  # noqa: E402

from radiodino.train.backbone import build_backbone  # noqa: E402
from radiodino.train.classify import loop  # noqa: E402
from radiodino.train.classify.classifier import Classifier, new_head  # noqa: E402
from radiodino.train.classify.folds import Fold  # noqa: E402
from radiodino.train.classify.history import History  # noqa: E402
from radiodino.train.classify.inputs import FeatureInputs, ImageInputs  # noqa: E402
from radiodino.train.classify.loop import train_one  # noqa: E402
from radiodino.train.classify.predict import predict  # noqa: E402
from radiodino.train.classify.recipe import Recipe  # noqa: E402
from radiodino.train.pretrain.collapse import TrainingError  # noqa: E402
from radiodino.train.schedule import learning_rates  # noqa: E402

RECIPE = {"epochs": 4, "warmup_epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "precision": "32-true",
          "image_size": 32}  # fmt: skip


def recipe(**changes) -> Recipe:
    return Recipe(**{**RECIPE, **changes})


def launched(precision="32-true"):
    fabric = fabric_package.Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    return fabric


@pytest.fixture(scope="module")
def toy_classifier(toy):
    """Makes the same new classifier each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone(toy, 32)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}

    def make(*numbers) -> Classifier:
        backbone = build_backbone(toy, 32)
        backbone.load_state_dict(state)
        return Classifier(backbone, new_head(48, 2, *numbers))

    return make


@pytest.fixture(scope="module")
def images():
    """Sixty dark and bright images of 32 px, and which are bright."""
    random = np.random.default_rng(0)
    targets = np.arange(60) % 2
    pixels = 60 + 130 * targets[:, None, None, None] + random.integers(-50, 51, (60, 1, 32, 32))
    return pixels.astype(np.uint8), targets


FOLD = Fold(np.arange(0, 37), np.arange(37, 50), np.arange(50, 60))  # the last step of an epoch takes 5 images


def train(folder, network, images, fold=FOLD, number=1, progress=lambda _done, _total: None, **changes):
    chosen = recipe(**changes)
    pixels, targets = images
    inputs = ImageInputs(pixels, chosen.augment, chosen.seed)
    folder.mkdir(exist_ok=True)
    return train_one(launched(chosen.precision), network, inputs, targets, fold, number, chosen, folder, progress)


@pytest.fixture(scope="module")
def whole(toy_classifier, images, tmp_path_factory):
    """An uninterrupted training of 4 epochs of 3 steps, with augmentation."""
    network = toy_classifier()
    return network, train(tmp_path_factory.mktemp("whole") / "fold", network, images)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


NUMBERS = ("epoch", "learning_rate", "train_loss", "val_loss", "val_accuracy")


def numbers(history: History) -> list[list[float]]:
    return [[row[name] for name in NUMBERS] for row in history.rows]


# --- learning


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_learns(toy_classifier, images, tmp_path, precision):
    network = toy_classifier()
    history = train(tmp_path / "fold", network, images, augment="none", precision=precision)
    inputs = ImageInputs(images[0], "none", 0)
    logits = predict(launched(), network, inputs, FOLD.test, 4)
    assert (logits.argmax(axis=1) == images[1][FOLD.test]).mean() > 0.9
    assert history.rows[-1]["val_loss"] < 0.4 < history.rows[0]["val_loss"]
    assert not network.training


def test_the_log_holds_a_row_per_epoch(whole, tmp_path, toy_classifier, images):
    history = train(tmp_path / "fold", toy_classifier(), images)
    with (tmp_path / "fold" / "log.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    for row, kept in zip(rows, history.rows, strict=True):
        assert float(row["val_loss"]) == pytest.approx(kept["val_loss"], rel=1e-6)
        assert float(row["images_per_second"]) > 0
        assert 0 <= float(row["waiting_share"]) <= 1


def test_the_weights_are_those_of_the_best_epoch(whole, images):
    network, history = whole
    logits = torch.from_numpy(predict(launched(), network, ImageInputs(images[0], "none", 0), FOLD.val, 5)).double()
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(images[1][FOLD.val]))
    assert history.best_loss == min(row["val_loss"] for row in history.rows)
    assert history.rows[history.best_epoch - 1]["val_loss"] == history.best_loss
    assert float(loss) == pytest.approx(history.best_loss, rel=1e-5)


class Watched(FeatureInputs):
    """Notes which images are asked for."""

    def training(self, indices, fold, epoch):
        asked.setdefault((fold, epoch), []).append(indices.tolist())
        return super().training(indices, fold, epoch)


asked: dict[tuple[int, int], list[list[int]]] = {}


def test_an_epoch_takes_each_image_once_in_an_order_of_its_own(tmp_path):
    asked.clear()
    features = Watched(torch.randn(60, 8, generator=torch.manual_seed(0)))
    targets = np.arange(60) % 2
    train_one(launched(), new_head(8, 2, 0), features, targets, FOLD, 3, recipe(), tmp_path)
    assert set(asked) == {(3, epoch) for epoch in range(4)}
    for batches in asked.values():
        assert sorted(map(len, batches)) == [5, 16, 16]
        assert sorted(chain.from_iterable(batches)) == FOLD.train.tolist()
    assert len({str(sorted(batches)) for batches in asked.values()}) == 4


@pytest.fixture
def steps():
    """What the optimiser saw at each step: rates, decays and the norm of all gradients."""
    found = []

    def note(optimiser, _args, _kwargs):
        group = optimiser.param_groups[0]
        norms = [p.grad.norm() for g in optimiser.param_groups for p in g["params"]]
        found.append((group["lr"], group["weight_decay"], float(torch.stack(norms).norm()), type(optimiser).__name__))

    hook = register_optimizer_step_pre_hook(note)
    yield found
    hook.remove()


@pytest.mark.parametrize("clip", [1.0, 0.0])
def test_every_step_has_its_rate_decay_and_clipped_gradient(steps, tmp_path, clip):
    features = FeatureInputs(100 * torch.randn(60, 8, generator=torch.manual_seed(0)))
    chosen = recipe(clip=clip)
    train_one(launched(), new_head(8, 2, 0), features, np.arange(60) % 2, FOLD, 1, chosen, tmp_path)
    assert [step[0] for step in steps] == learning_rates(chosen, 3).tolist()
    assert {step[1] for step in steps} == {0.01}
    assert {step[3] for step in steps} == {"AdamW"}
    largest = max(step[2] for step in steps)
    assert largest == pytest.approx(1, rel=1e-4) if clip else largest > 10


def test_training_is_in_half_precision_and_validation_in_full(toy_classifier, images, tmp_path):
    network = toy_classifier()
    seen = set()
    network.head.register_forward_hook(lambda module, _given, made: seen.add((network.training, made.dtype)))
    train(tmp_path / "fold", network, images, augment="none", epochs=2, precision="bf16-mixed")
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}


def test_a_loss_that_is_not_finite_ends_it(tmp_path):
    features = FeatureInputs(torch.full((60, 8), float("nan")))
    with pytest.raises(TrainingError, match=r"in epoch 1 of fold 2: lower learning_rate"):
        train_one(launched(), new_head(8, 2, 0), features, np.arange(60) % 2, FOLD, 2, recipe(), tmp_path)
    assert not (tmp_path / "training.state").exists()


# --- early stopping


def test_it_stops_when_validation_gets_worse_and_keeps_the_best(tmp_path):
    features = torch.randn(60, 8, generator=torch.manual_seed(0))
    targets = (features[:, 0] > 0).long().numpy()
    targets[FOLD.val] = 1 - targets[FOLD.val]  # what is learned is wrong there
    head = new_head(8, 2, 0)
    chosen = recipe(epochs=40, patience=3, warmup_epochs=2, warmup_learning_rate=1e-4)
    history = train_one(launched(), head, FeatureInputs(features), targets, FOLD, 1, chosen, tmp_path)
    losses = [row["val_loss"] for row in history.rows]
    assert len(losses) == history.best_epoch + 3 < 40
    assert history.best_loss == min(losses) == losses[history.best_epoch - 1]
    found = torch.from_numpy(predict(launched(), head, FeatureInputs(features), FOLD.val, 64)).double()
    assert float(nn.functional.cross_entropy(found, torch.from_numpy(targets[FOLD.val]))) == pytest.approx(
        history.best_loss, rel=1e-5
    )


def test_an_equal_loss_is_no_improvement():
    history, network = History(), nn.Linear(1, 1)
    going = []
    for number, loss in enumerate([3.0, 2.0, 2.5, 2.0, 2.1], 1):
        nn.init.constant_(network.weight, number)
        history.add({"val_loss": loss}, network)
        going.append(history.goes_on(epochs=9, patience=3))
    assert going == [True, True, True, True, False]
    assert (history.best_epoch, history.best_loss, history.best["weight"].item()) == (2, 2.0, 2.0)
    assert not history.goes_on(epochs=5, patience=9)
    assert History().goes_on(epochs=1, patience=1)


# --- the same again


def test_the_same_training_is_the_same_bit_for_bit_with_any_number_of_threads(
    whole, toy_classifier, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "WORKERS", 5)
    network = toy_classifier()
    history = train(tmp_path / "fold", network, images)
    assert same(network, whole[0])
    assert numbers(history) == numbers(whole[1])


@pytest.mark.parametrize("changes", [{"seed": 1}, {"number": 2}, {"augment": "none"}])
def test_seed_fold_and_augmentation_matter(whole, toy_classifier, images, tmp_path, changes):
    network = toy_classifier()
    train(tmp_path / "fold", network, images, **changes)
    assert not same(network, whole[0])


class KilledError(Exception):
    pass


@pytest.mark.parametrize(("stop", "epochs"), [(2, 0), (5, 1), (12, 3)])
def test_a_killed_training_ends_bit_for_bit_as_an_uninterrupted_one(
    whole, toy_classifier, images, tmp_path, stop, epochs
):
    def kill(done, total):
        assert total == 12
        if done == stop:
            raise KilledError

    with pytest.raises(KilledError):
        train(tmp_path / "fold", toy_classifier(), images, progress=kill)
    assert (tmp_path / "fold" / "training.state").exists() == (epochs > 0)
    network, told = toy_classifier(9), []  # another start: all of it must come from the state
    if not epochs:
        network = toy_classifier()
    history = train(tmp_path / "fold", network, images, progress=lambda done, _total: told.append(done))
    assert told == list(range(3 * epochs + 1, 13))
    assert same(network, whole[0])
    assert numbers(history) == numbers(whole[1])
    assert history.best_epoch == whole[1].best_epoch


def test_a_finished_training_is_not_trained_again(whole, toy_classifier, images, tmp_path):
    train(tmp_path / "fold", toy_classifier(), images)
    network = toy_classifier(9)
    train(tmp_path / "fold", network, images, progress=lambda _done, _total: pytest.fail("trained again"))
    assert same(network, whole[0])


# --- the head and the outputs


def test_a_head_starts_as_timms():
    head = new_head(768, 40, 5)
    assert not head.bias.any()
    assert head.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert torch.equal(head.weight, new_head(768, 40, 5).weight)
    assert not torch.equal(head.weight, new_head(768, 40, 6).weight)
    before = torch.get_rng_state()
    new_head(8, 2, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_outputs_come_in_the_order_that_was_asked_for(batch_size):
    network = nn.Linear(8, 3)
    features = torch.randn(20, 8)
    rows, told = np.array([7, 3, 3, 19, 0]), []
    found = predict(launched(), network, FeatureInputs(features), rows, batch_size, lambda *done: told.append(done))
    assert found.dtype == np.float32
    assert np.allclose(found, network(features[rows]).detach(), atol=1e-6)
    assert told[-1] == (math.ceil(5 / batch_size),) * 2
