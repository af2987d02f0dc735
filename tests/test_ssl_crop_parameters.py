from __future__ import annotations

from dataclasses import fields, replace

import pytest

torch = pytest.importorskip("torch")

from radiodino.train.ssl.crop_parameters import draw_global, draw_local  # noqa: E402
from radiodino.train.ssl.crop_settings import DINO_CROPS, DINOV2_CROPS  # noqa: E402

MANY = 20000
CHANCE = 4.0  # standard deviations


def drawn(draw, settings=DINO_CROPS, batch=MANY, seed=0):
    return draw(settings, batch, 64, 80, torch.Generator().manual_seed(seed))


def tensors(parameters):
    return {f.name: getattr(parameters, f.name) for f in fields(parameters)}


def assert_share(chosen, probability):
    """As many are chosen in each view as the probability lets expect."""
    spread = (probability * (1 - probability) / len(chosen)) ** 0.5
    assert (chosen.double().mean(0) - probability).abs().max() <= CHANCE * spread


def assert_uniform(values, low, high):
    values = values.double().flatten()
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6
    for power in (1, 2, 3):
        unit = (values - low) / (high - low)
        spread = (1 / (2 * power + 1) - 1 / (power + 1) ** 2) ** 0.5 / len(values) ** 0.5
        assert abs(float((unit**power).mean()) - 1 / (power + 1)) < CHANCE * spread


@pytest.mark.parametrize(("draw", "views"), [(draw_global, 2), (draw_local, 8)])
def test_shapes_and_types(draw, views):
    found = tensors(drawn(draw, batch=5))
    shapes = {name: (tuple(value.shape), value.dtype) for name, value in found.items()}
    assert shapes == {
        "boxes": ((5, views, 4), torch.int64),
        "flips": ((5, views), torch.bool),
        "order": ((5, views, 4), torch.int64),
        "factors": ((5, views, 4), torch.float32),
        "greys": ((5, views), torch.bool),
        "sigmas": ((5, views), torch.float32),
        "solarised": ((5, views), torch.bool),
    }


@pytest.mark.parametrize("settings", [DINO_CROPS, DINOV2_CROPS])
@pytest.mark.parametrize(("draw", "kinds"), [(draw_global, [0, 1]), (draw_local, [2] * 8)])
def test_everything_happens_as_often_as_said(draw, kinds, settings):
    found = drawn(draw, settings)
    assert_share(found.flips, 0.5)
    assert_share(found.greys, 0.2)
    changed = (found.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(-1)
    assert_share(changed, 0.8)
    for view, kind in enumerate(kinds):
        assert_share(found.sigmas[:, view] > 0, settings.blur[kind])
        assert_share(found.solarised[:, view], settings.solarise[kind])


def test_strengths_are_uniform_in_their_ranges():
    found = drawn(draw_local)
    changed = (found.factors != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(-1)
    for column, (middle, strength) in enumerate([(1, 0.4), (1, 0.4), (1, 0.2), (0, 0.1)]):
        assert_uniform(found.factors[changed][:, column], middle - strength, middle + strength)
    assert_uniform(found.sigmas[found.sigmas > 0], 0.1, 2.0)


def test_the_boxes_are_of_the_scale_of_their_kind():
    for draw, (low, high) in ((draw_global, (0.4, 1.0)), (draw_local, (0.05, 0.4))):
        share = drawn(draw).boxes[..., 2:].double().prod(-1) / (64 * 80)
        assert share.min() == pytest.approx(low, abs=0.02)
        assert share.max() == pytest.approx(high, abs=0.02)


def test_every_order_of_the_four_steps_is_as_likely():
    order = drawn(draw_global).order.flatten(0, 1)
    assert torch.equal(order.sort(1).values, torch.arange(4).expand(len(order), 4))
    counts = torch.bincount((order * torch.tensor([64, 16, 4, 1])).sum(1)).double()
    counts = counts[counts > 0]
    assert len(counts) == 24
    expected = len(order) / 24
    assert (counts - expected).abs().max() < CHANCE * expected**0.5


def test_choices_are_independent_of_each_other_and_between_views():
    found = drawn(draw_global)
    columns = [
        *found.flips.T,
        *found.greys.T,
        *found.factors.flatten(1).T,
        *found.boxes[..., 0].T,
        *found.sigmas.T,
        found.solarised[:, 1],
        *found.order[..., 0].T,
    ]
    correlation = torch.corrcoef(torch.stack([column.double() for column in columns]))
    correlation.fill_diagonal_(0)
    # The four factors of a view stand still together; nothing else is related.
    together = [slice(4, 8), slice(8, 12)]
    for part in together:
        correlation[part, part] = 0
    assert correlation.abs().max() < 1.3 * CHANCE / MANY**0.5


def test_the_same_state_gives_the_same_choices_and_another_one_others():
    one, same, other = (tensors(drawn(draw_global, batch=9, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in ("boxes", "factors", "order", "sigmas"))


def test_a_generator_resumes_between_two_draws():
    generator = torch.Generator().manual_seed(4)
    draw_global(DINO_CROPS, 3, 50, 50, generator)
    state = generator.get_state()
    expected = tensors(draw_local(DINO_CROPS, 3, 50, 50, generator))
    resumed = torch.Generator()
    resumed.set_state(state)
    found = tensors(draw_local(DINO_CROPS, 3, 50, 50, resumed))
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_how_far_the_stream_moves_does_not_depend_on_the_settings():
    never = replace(DINO_CROPS, jitter=0.0, blur=(0.0, 0.0, 0.0), flip=0.0, grey=0.0, solarise=(0.0, 0.0, 0.0))
    states = []
    for settings in (DINO_CROPS, never):
        generator = torch.Generator().manual_seed(5)
        draw_global(settings, 4, 64, 64, generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_probabilities_of_0_and_1_are_certain():
    never = replace(DINO_CROPS, jitter=0.0, blur=(0.0, 1.0, 0.0), flip=0.0, grey=1.0, solarise=(1.0, 0.0, 0.0))
    found = drawn(draw_global, never, batch=500)
    assert not found.flips.any()
    assert found.greys.all()
    assert torch.equal(found.factors, torch.tensor([1.0, 1.0, 1.0, 0.0]).expand(500, 2, 4))
    assert ((found.sigmas > 0) == torch.tensor([False, True])).all()
    assert (found.solarised == torch.tensor([True, False])).all()


def test_a_part_of_the_samples():
    whole = drawn(draw_local, batch=6)
    for index in (slice(2, 5), torch.tensor([5, 0])):
        part = tensors(whole.samples(index))
        assert all(torch.equal(part[name], value[index]) for name, value in tensors(whole).items())


def test_moving_keeps_everything():
    whole = drawn(draw_local, batch=3)
    moved = whole.to("meta")
    assert all(value.device.type == "meta" for value in tensors(moved).values())
    assert all(torch.equal(value, tensors(whole)[name]) for name, value in tensors(whole.to("cpu")).items())


def test_no_local_crops():
    found = drawn(draw_local, replace(DINO_CROPS, local_count=0), batch=3)
    assert found.boxes.shape == (3, 0, 4)
    assert found.sigmas.shape == (3, 0)
