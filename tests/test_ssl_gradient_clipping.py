from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.gradient_clipping import (  # noqa: E402
    cancel_gradients,
    clip_each_module,
    clip_each_parameter,
)


def make(sizes, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    parameters = []
    for size in sizes:
        parameter = torch.nn.Parameter(torch.zeros(size))
        parameter.grad = spread * torch.randn(size, generator=generator)
        parameters.append(parameter)
    return parameters


def norm(values):
    return math.sqrt(sum(float(x) ** 2 for x in values))


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    clip=st.sampled_from([0.3, 1.0, 3.0]),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
    seed=st.integers(0, 99),
)
def test_each_parameter_is_clipped_by_itself(sizes, clip, spread, seed):
    parameters = make(sizes, seed, spread)
    before = [p.grad.clone() for p in parameters]
    places = [p.grad.data_ptr() for p in parameters]
    norms = clip_each_parameter(parameters, clip)
    assert norms.tolist() == pytest.approx([norm(g) for g in before], rel=1e-5)
    for parameter, gradient in zip(parameters, before, strict=True):
        factor = clip / (norm(gradient) + 1e-6)
        if factor < 1:
            assert torch.allclose(parameter.grad, gradient * factor, rtol=1e-5)
        else:
            assert torch.equal(parameter.grad, gradient)
    assert [p.grad.data_ptr() for p in parameters] == places


def test_parameters_without_gradient_are_passed_over():
    parameters = make([2, 3])
    parameters[0].grad = None
    assert clip_each_parameter(iter(parameters), 1.0).shape == (1,)
    assert clip_each_parameter(parameters[:1], 1.0).shape == (0,)


def test_zeros_stay_zeros():
    (parameter,) = make([3])
    parameter.grad.zero_()
    assert clip_each_parameter([parameter], 3.0).tolist() == [0]
    assert parameter.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(bad):
    spoilt, sound = make([2, 2])
    spoilt.grad[0] = bad
    before = sound.grad.clone()
    norms = clip_each_parameter([spoilt, sound], 30.0)
    assert not norms[0].isfinite()
    assert not spoilt.grad.isfinite().all()
    assert torch.equal(sound.grad, before)


@settings(max_examples=30, deadline=None)
@given(clip=st.sampled_from([0.3, 3.0]), spread=st.sampled_from([0.1, 10.0]), seed=st.integers(0, 99))
def test_each_module_is_clipped_by_itself(clip, spread, seed):
    modules = {"backbone": make([3, 4], seed, spread), "head": make([2, 5], seed + 1)}
    before = {name: [p.grad.clone() for p in parameters] for name, parameters in modules.items()}
    norms = clip_each_module(modules, clip)
    assert set(norms) == set(modules)
    for name, parameters in modules.items():
        joint = norm(torch.cat(before[name]))
        assert norms[name].item() == pytest.approx(joint, rel=1e-5)
        factor = min(clip / (joint + 1e-6), 1.0)
        for parameter, gradient in zip(parameters, before[name], strict=True):
            assert torch.allclose(parameter.grad, gradient * factor, rtol=1e-5)


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan")])
def test_a_clip_of_zero_or_less_is_refused(clip):
    with pytest.raises(InputError, match="norm above 0"):
        clip_each_parameter(make([2]), clip)
    with pytest.raises(InputError, match="norm above 0"):
        clip_each_module({"head": make([2])}, clip)


@pytest.mark.parametrize(("epoch", "frozen", "dropped"), [(0, 1, True), (1, 1, False), (1, 2, True), (0, 0, False)])
def test_the_last_layer_has_no_gradient_in_the_first_epochs(epoch, frozen, dropped):
    named = dict(
        zip(["head.mlp.0.weight", "head.last_layer.weight_g", "head.last_layer.weight_v"], make([2, 2, 2]), strict=True)
    )
    cancel_gradients(named.items(), epoch, frozen)
    assert named["head.mlp.0.weight"].grad is not None
    assert (named["head.last_layer.weight_v"].grad is None) == dropped
    assert (named["head.last_layer.weight_g"].grad is None) == dropped


def test_without_a_gradient_the_optimiser_neither_steps_nor_decays():
    (parameter,) = make([3])
    parameter.data.fill_(1)
    optimiser = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.4)
    cancel_gradients([("last_layer.weight_v", parameter)], epoch=0)
    optimiser.step()
    assert parameter.tolist() == [1, 1, 1]
    assert not optimiser.state[parameter]
