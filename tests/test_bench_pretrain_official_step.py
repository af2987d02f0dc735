from __future__ import annotations

from dataclasses import replace

import pytest

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.benchmarks.official_style_step import (  # noqa: E402
    OfficialStyleNetwork,
    OfficialStyleStep,
    clip_one_by_one,
    official_style_loss,
    update_one_by_one,
)
from radiodino.train.pretrain.collapse import TrainingError  # noqa: E402
from radiodino.train.pretrain.methods import Dino  # noqa: E402
from radiodino.train.pretrain.networks import build_networks  # noqa: E402
from radiodino.train.pretrain.plan import make_plan  # noqa: E402
from radiodino.train.pretrain.recipe import HeadRecipe, Recipe  # noqa: E402
from radiodino.train.ssl.crop_settings import CropSettings  # noqa: E402
from radiodino.train.ssl.ema import update_teacher  # noqa: E402
from radiodino.train.ssl.gradient_clipping import clip_each_parameter  # noqa: E402
from radiodino.train.ssl.parameter_groups import apply_schedules  # noqa: E402

CPU = torch.device("cpu")
PER_EPOCH = 3


@pytest.fixture(autouse=True)
def _toy_is_a_variant(monkeypatch, toy):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture
def recipe(_toy_is_a_variant) -> Recipe:
    return Recipe(
        variant="toy",
        batch_size=3,
        drop_path=0.0,
        precision="32-true",
        crops=CropSettings(global_size=48, local_size=32, local_count=3),
        head=HeadRecipe(out_dim=64, hidden_dim=32, bottleneck_dim=16),
    )


def make_crops(recipe, step=0):
    """As our data path gives them, and as the official one does."""
    generator = torch.Generator().manual_seed(step)
    settings = recipe.crops
    ours = [
        torch.randn(count, recipe.batch_size, 3, size, size, generator=generator)
        for count, size in ((2, settings.global_size), (settings.local_count, settings.local_size))
    ]
    return ours, [crop for kind in ours for crop in kind]


def learned(state, spread=0.05):
    """Weights that are far from where networks begin, where many a gradient is 0."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: value if "weight_g" in name else value + spread * torch.randn(value.shape, generator=generator)
        for name, value in state.items()
    }


def official(recipe, state=None, **settings):
    step = OfficialStyleStep(recipe, make_plan(recipe, PER_EPOCH), PER_EPOCH, CPU, **settings)
    if state is not None:
        step.student.load_state_dict(state)
        step.teacher.load_state_dict(state)
    return step


def by_our_names(network):
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    return {
        next((name.replace(old, new) for old, new in names.items() if old in name), name): parameter
        for name, parameter in network.named_parameters()
    }


def relative(found, expected):
    return float((found - expected).norm() / expected.norm())


def test_begins_with_the_weights_of_our_networks(recipe):
    student, _ = build_networks(recipe)
    step = official(recipe)
    for network in (step.student, step.teacher):
        found = by_our_names(network)
        assert found.keys() == student.state_dict().keys()
        assert all(torch.equal(found[name], value) for name, value in student.state_dict().items())


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("local_count", [0, 3])
def test_steps_have_the_losses_gradients_and_teacher_of_ours(recipe, fused, local_count):
    """The same crops and weights for both, three steps of the second epoch, in float32."""
    recipe = replace(recipe, crops=replace(recipe.crops, local_count=local_count))
    student, teacher = build_networks(recipe)
    state = learned(student.state_dict())
    student.load_state_dict(state)
    teacher.load_state_dict(state)
    theirs = official(recipe, state, fused_attention=fused)
    ours, plan = Dino(recipe, CPU), make_plan(recipe, PER_EPOCH)
    optimiser = torch.optim.AdamW(ours.groups(student), fused=True)

    for step in range(PER_EPOCH, 2 * PER_EPOCH):
        our_crops, crops = make_crops(recipe, step)
        our_crops = our_crops[: 1 + bool(local_count)]
        apply_schedules(optimiser.param_groups, plan.rates[step], plan.decays[step], plan.rates[step])
        loss = ours.loss(student, teacher, our_crops, float(plan.temperatures[step]), seed=0)
        optimiser.zero_grad()
        loss.backward()
        ours.clip(student, epoch=1)
        theirs(crops, step)
        assert theirs.loss == pytest.approx(loss.item(), rel=1e-5)
        found = by_our_names(theirs.student)
        for name, parameter in student.named_parameters():
            if not parameter.requires_grad:
                assert found[name].grad is None
            elif not name.endswith("qkv.bias"):  # the key's part of it has no true gradient, but rounding noise
                assert relative(found[name].grad, parameter.grad) < 1e-4, name
        optimiser.step()
        update_teacher(student.parameters(), teacher.parameters(), plan.momenta[step])
        ours.update_centres()
        assert relative(theirs.centre, ours.centres["cls"]) < 1e-5
        expected = dict(teacher.named_parameters())
        for name, parameter in by_our_names(theirs.teacher).items():
            assert relative(parameter, expected[name]) < 1e-5, name


def test_the_optimiser_moves_weights_as_ours_does(recipe):
    """Where gradients are given, so that their rounding does not matter."""
    student, _ = build_networks(recipe)
    theirs, plan, step = official(recipe), make_plan(recipe, PER_EPOCH), 2 * PER_EPOCH
    optimiser = torch.optim.AdamW(Dino(recipe, CPU).groups(student), lr=0.0, fused=True)
    apply_schedules(optimiser.param_groups, plan.rates[step], plan.decays[step], plan.rates[step])
    theirs(make_crops(recipe)[1], step)  # sets the rates of its groups, and moves its weights
    theirs.student.load_state_dict(student.state_dict())
    theirs.optimiser.state.clear()
    found = by_our_names(theirs.student)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            gradient = torch.randn(parameter.shape, generator=generator)
            parameter.grad, found[name].grad = gradient, gradient.clone()
    optimiser.step()
    theirs.optimiser.step()
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(found[name], parameter, rtol=1e-6, atol=1e-8, msg=name)


def test_the_last_layer_is_frozen_in_the_first_epoch_alone(recipe):
    step = official(recipe)
    _, crops = make_crops(recipe)

    def last():
        return by_our_names(step.student)["head.last_layer.weight_v"]

    before = last().detach().clone()
    step(crops, PER_EPOCH - 1)
    assert last().grad is None
    assert torch.equal(last(), before)
    step(crops, PER_EPOCH)
    assert not torch.equal(last(), before)


def test_stochastic_depth_is_the_students_alone(recipe):
    step = official(replace(recipe, drop_path=0.9))
    _, crops = make_crops(recipe)
    with torch.no_grad():
        assert torch.equal(step.teacher(crops), step.teacher(crops))
        assert not torch.equal(step.student(crops), step.student(crops))


def test_one_pass_for_each_size_of_crop(recipe):
    network = OfficialStyleNetwork(recipe, 0.0)
    passes = []
    network.backbone.blocks[0].register_forward_pre_hook(lambda _, inputs: passes.append(tuple(inputs[0].shape)))
    logits = network(make_crops(recipe)[1])
    assert passes == [(6, 10, 48), (9, 5, 48)]
    assert logits.shape == (15, 64)


def test_the_loss_is_the_definitions():
    """A batch of one image with two classes, by hand."""
    student = torch.tensor([[0.3, 0.1], [0.2, 0.5], [0.0, 0.4]])
    teacher = torch.tensor([[0.1, 0.2], [0.4, 0.1]])
    centre = torch.tensor([[0.05, 0.0]])

    def softmax(values):
        return values.exp() / values.exp().sum()

    total = 0.0
    for view in range(2):
        target = softmax((teacher[view] - centre[0]) / 0.04)
        total += sum(-float((target * softmax(student[crop] / 0.1).log()).sum()) for crop in range(3) if crop != view)
    assert float(official_style_loss(student, teacher, centre, 1, 0.1, 0.04)) == pytest.approx(total / 4, rel=1e-5)


def test_mixed_precision_gives_about_the_same_loss(recipe):
    _, crops = make_crops(recipe)
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        step = official(recipe, precision=precision)
        step(crops, 0)
        losses.append(step.loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def test_clipping_and_averaging_one_by_one_are_ours():
    generator = torch.Generator().manual_seed(0)

    def parameters(scale=1.0):
        made = [torch.nn.Parameter(scale * torch.randn(4, 5, generator=generator)) for _ in range(3)]
        for number, parameter in enumerate(made[:2]):
            parameter.grad = torch.randn(4, 5, generator=generator) * 10**number
        return made

    student, teacher = parameters(), parameters()
    other = [torch.nn.Parameter(parameter.detach().clone()) for parameter in student]
    for copy, parameter in zip(other, student, strict=True):
        copy.grad = None if parameter.grad is None else parameter.grad.clone()
    clip_one_by_one(student, 6.0)
    clip_each_parameter(other, 6.0)
    for copy, parameter in zip(other, student, strict=True):
        assert (copy.grad is None) == (parameter.grad is None)
        if copy.grad is not None:
            torch.testing.assert_close(parameter.grad, copy.grad)
    assert float(student[1].grad.norm()) == pytest.approx(6)
    clip_one_by_one(student, 0)  # clips nothing
    assert float(student[1].grad.norm()) == pytest.approx(6)

    averaged = [parameter.detach().clone() for parameter in teacher]
    update_one_by_one(student, teacher, 0.9)
    update_teacher([parameter.detach() for parameter in student], averaged, 0.9)
    for found, expected in zip(teacher, averaged, strict=True):
        torch.testing.assert_close(found.detach(), expected)


def test_a_loss_that_is_not_finite_ends_it(recipe):
    _, crops = make_crops(recipe)
    with pytest.raises(TrainingError, match="loss is nan at step 4"):
        official(recipe)([crops[0] * float("nan"), *crops[1:]], 4)


@pytest.mark.parametrize(
    ("changes", "precision", "message"),
    [
        ({"method": "dinov2"}, "32-true", "the official-style step is DINO's, not that of 'dinov2'"),
        ({}, "64-true", "precision must be one of 32-true, bf16-mixed, 16-mixed, not '64-true'"),
        ({}, "16-mixed", "16-mixed needs a CUDA device, found cpu"),
    ],
)
def test_refuses_what_it_is_not_made_for(recipe, changes, precision, message):
    with pytest.raises(InputError, match=message):
        official(replace(recipe, **changes), precision=precision)
