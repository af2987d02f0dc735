from __future__ import annotations

import math

import numpy as np
import pytest

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")

from radiodino.train.ssl.heads import ProjectionHead, WeightNormLinear  # noqa: E402


def oracle(state, x):
    """The head in float64, from its state dict."""
    x = x.double().numpy()
    state = {name: value.double().numpy() for name, value in state.items()}
    layers = [name[: -len(".weight")] for name in state if name.startswith("mlp") and name.endswith(".weight")]
    for place, layer in enumerate(layers):
        x = x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
        if place < len(layers) - 1:
            x = x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    x = x / np.sqrt((x**2).sum(axis=-1, keepdims=True))
    directions = state["last_layer.weight_v"]
    lengths = np.sqrt((directions**2).sum(axis=1, keepdims=True))
    return x @ (state["last_layer.weight_g"] * directions / lengths).T


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("norm_last_layer", [True, False])
def test_agrees_with_a_slow_oracle(layers, norm_last_layer):
    torch.manual_seed(0)
    head = ProjectionHead(7, 11, 6, 5, layers, norm_last_layer)
    with torch.no_grad():
        head.last_layer.weight_g.uniform_(0.5, 2)
        for parameter in head.mlp.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))  # away from the initial zeros
    x = torch.randn(2, 3, 7)
    found = head(x)
    assert found.shape == (2, 3, 11)
    assert np.allclose(found.detach().numpy(), oracle(head.state_dict(), x), rtol=1e-5, atol=1e-6)


def test_it_loads_the_entries_of_official_heads_strictly():
    shapes = {
        "mlp.0.weight": (2048, 192),
        "mlp.0.bias": (2048,),
        "mlp.2.weight": (2048, 2048),
        "mlp.2.bias": (2048,),
        "mlp.4.weight": (256, 2048),
        "mlp.4.bias": (256,),
        "last_layer.weight_g": (65536, 1),
        "last_layer.weight_v": (65536, 256),
    }
    with torch.device("meta"):
        head = ProjectionHead(192)
    assert {name: tuple(value.shape) for name, value in head.state_dict().items()} == shapes
    assert [name for name, _ in head.named_parameters()] == list(shapes)
    head.load_state_dict({name: torch.zeros(shape) for name, shape in shapes.items()}, strict=True, assign=True)
    assert set(ProjectionHead(4, 5, 3, 2, layers=1).state_dict()) == {
        "mlp.weight",
        "mlp.bias",
        "last_layer.weight_g",
        "last_layer.weight_v",
    }


def test_initial_weights():
    torch.manual_seed(0)
    head = ProjectionHead(64, 1000, 128, 100)
    for layer in head.mlp[::2]:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert abs(layer.weight.mean().item()) < 0.001
        assert not layer.bias.any()
    assert (head.last_layer.weight_g == 1).all()
    directions = head.last_layer.weight_v
    assert directions.abs().max().item() <= 0.1
    assert directions.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)


def test_frozen_lengths_make_logits_cosines():
    torch.manual_seed(0)
    head = ProjectionHead(8, 50, 16, 4)
    assert not head.last_layer.weight_g.requires_grad
    x = torch.randn(20, 8)
    logits = head(x)
    assert logits.abs().max() <= 1 + 1e-6
    logits.square().sum().backward()
    assert head.last_layer.weight_g.grad is None
    directions = head.last_layer.weight_v
    along = (directions * directions.grad).sum(dim=1)
    assert torch.allclose(along, torch.zeros(50), atol=1e-5)  # moving along a direction changes nothing
    assert directions.grad.abs().max() > 1e-3


def test_learned_lengths_have_a_gradient():
    head = ProjectionHead(8, 5, 16, 4, norm_last_layer=False)
    head(torch.randn(3, 8)).square().sum().backward()
    assert head.last_layer.weight_g.grad.abs().min() > 0


def test_the_length_of_a_direction_does_not_matter():
    layer = WeightNormLinear(3, 2, learn_length=False)
    x = torch.randn(4, 3)
    before = layer(x)
    with torch.no_grad():
        layer.weight_v.mul_(7)
    assert torch.allclose(layer(x), before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_bottleneck_of_zeros_is_no_division_by_zero(dtype):
    head = ProjectionHead(4, 5, 3, 2).to(dtype)
    found = head(torch.zeros(2, 4, dtype=dtype))
    assert found.dtype == dtype
    assert not found.any()


@pytest.mark.parametrize("name", ["in_dim", "out_dim", "hidden_dim", "bottleneck_dim", "layers"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(InputError, match=f"{name} of at least 1, not 0"):
        ProjectionHead(**{"in_dim": 4, name: 0})
