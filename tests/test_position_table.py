from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radiodino.runtime.errors import InputError, MissingExtraError, WeightsError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.train.position_table import resize_position_table  # noqa: E402


def make_table(grid, size=3, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 1 + grid * grid, size)).astype(np.float32))


def cubic(x, a):
    """Keys' convolution kernel."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def dino_weights(source, grid):
    """Per output sample the weights of the input samples: bicubic (a = -0.75), a pitch of source / (grid + 0.1)."""
    weights = np.zeros((grid, source))
    for out in range(grid):
        centre = (out + 0.5) * source / (grid + 0.1) - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            weights[out, min(max(tap, 0), source - 1)] += cubic(centre - tap, -0.75)
    return weights


def antialiased_weights(source, grid):
    """Per output sample the weights of the input samples: bicubic (a = -0.5), widened where the table shrinks."""
    scale = source / grid
    widen = max(scale, 1.0)
    weights = np.zeros((grid, source))
    for out in range(grid):
        centre = (out + 0.5) * scale
        first, last = max(int(centre - 2 * widen + 0.5), 0), min(int(centre + 2 * widen + 0.5), source)
        for tap in range(first, last):
            weights[out, tap] = cubic((tap + 0.5 - centre) / widen, -0.5)
        weights[out] /= weights[out].sum()
    return weights


def oracle(table, grid, method):
    """One output entry at a time, in float64."""
    source = round((table.shape[1] - 1) ** 0.5)
    weights = {"dino": dino_weights, "timm": antialiased_weights}[method](source, grid)
    values = table.numpy().astype(np.float64)[0]
    rows = [values[0]]
    for y in range(grid):
        for x in range(grid):
            entry = np.zeros(values.shape[1])
            for v in range(source):
                for u in range(source):
                    if weights[y, v] and weights[x, u]:
                        entry += weights[y, v] * weights[x, u] * values[1 + v * source + u]
            rows.append(entry)
    return np.stack(rows)[None]


@pytest.mark.parametrize("method", ["timm", "dino"])
@settings(max_examples=60, deadline=None)
@given(source=st.integers(1, 7), grid=st.integers(1, 9), seed=st.integers(0, 99))
def test_agrees_with_a_slow_oracle(method, source, grid, seed):
    table = make_table(source, seed=seed)
    resized = resize_position_table(table, grid, method)
    assert resized.shape == (1, 1 + grid * grid, 3)
    assert resized.dtype == torch.float32
    expected = table.numpy() if source == grid else oracle(table, grid, method)
    np.testing.assert_allclose(resized.numpy(), expected, rtol=1e-4, atol=2e-5)


# The sizes that occur: 224 to 96, 98, 384, 448 and 518 px, and DINOv2's 518 to 224 px.
@pytest.mark.parametrize("method", ["timm", "dino"])
@pytest.mark.parametrize(("source", "grid"), [(14, 6), (28, 12), (16, 7), (14, 24), (14, 28), (37, 16)])
def test_agrees_with_the_oracle_at_the_sizes_that_occur(source, grid, method):
    table = make_table(source, size=2)
    found = resize_position_table(table, grid, method).numpy()
    np.testing.assert_allclose(found, oracle(table, grid, method), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("source", "grid"), [(14, 6), (14, 28), (37, 16)])
def test_timm_agrees_with_pillow(source, grid):
    table = make_table(source, size=1)
    image = Image.fromarray(table[0, 1:, 0].numpy().reshape(source, source))
    expected = np.asarray(image.resize((grid, grid), Image.Resampling.BICUBIC)).ravel()
    found = resize_position_table(table, grid, "timm")[0, 1:, 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("source", "grid"), [(14, 6), (14, 28), (37, 16)])
def test_dino_is_what_the_official_code_computes(source, grid):
    """As in DINO's `interpolate_pos_encoding` for an image of grid patches along a side."""
    table = make_table(source, size=5)
    patches = table[:, 1:].reshape(1, source, source, 5).permute(0, 3, 1, 2)
    side = grid + 0.1
    official = torch.nn.functional.interpolate(patches, scale_factor=(side / source, side / source), mode="bicubic")
    assert official.shape[-2:] == (int(side), int(side))
    found = resize_position_table(table, grid, "dino")
    assert torch.equal(found[:, 1:], official.permute(0, 2, 3, 1).reshape(1, -1, 5))


def test_the_two_methods_differ():
    table = make_table(14)
    assert (resize_position_table(table, 28, "timm") - resize_position_table(table, 28, "dino")).abs().max() > 0.05


@pytest.mark.parametrize("method", ["timm", "dino"])
def test_the_same_grid_is_left_alone_bit_for_bit(method):
    table = make_table(5)
    table[0, 3, 0] = float("nan")
    table[0, 4, 0] = -0.0
    resized = resize_position_table(table, 5, method)
    assert resized.numpy().tobytes() == table.numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("method", ["timm", "dino"])
def test_the_cls_entry_and_the_type_are_kept(method, dtype):
    table = make_table(4).to(dtype)
    resized = resize_position_table(table, 6, method)
    assert resized.dtype == dtype
    assert torch.equal(resized[:, 0], table[:, 0])
    in_float32 = resize_position_table(table.float(), 6, method)
    assert torch.equal(resized, in_float32.to(dtype)) or dtype == torch.float64
    torch.testing.assert_close(resized.float(), in_float32, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("method", ["timm", "dino"])
@given(source=st.integers(1, 12), grid=st.integers(1, 12), value=st.floats(-10, 10, width=32))
@settings(max_examples=40, deadline=None)
def test_a_constant_table_stays_constant(method, source, grid, value):
    table = torch.full((1, 1 + source * source, 2), value)
    resized = resize_position_table(table, grid, method)
    torch.testing.assert_close(resized, torch.full((1, 1 + grid * grid, 2), value), rtol=1e-5, atol=1e-5)


def test_the_argument_is_not_changed():
    table = make_table(4)
    before = table.clone()
    resize_position_table(table, 7, "dino")
    resize_position_table(table, 7, "timm")
    assert torch.equal(table, before)


@pytest.mark.parametrize(
    "shape", [(1, 16, 4), (1, 1, 4), (1, 0, 4), (2, 17, 4), (17, 4), (1, 1 + 3 * 5, 4), (1, 4, 4, 4)]
)
def test_refuses_a_table_that_is_no_square(shape):
    with pytest.raises(WeightsError, match="square number n of patches after the CLS entry, found") as caught:
        resize_position_table(torch.zeros(shape), 4, "dino")
    assert str(tuple(shape)) in str(caught.value)


@pytest.mark.parametrize("method", ["", "bicubic", "DINO"])
def test_refuses_an_unknown_method(method):
    with pytest.raises(InputError, match=f"no position interpolation '{method}': choose one of timm, dino"):
        resize_position_table(make_table(4), 4, method)


@pytest.mark.parametrize("grid", [0, -1])
def test_refuses_an_empty_grid(grid):
    with pytest.raises(InputError, match=f"at least 1 patch along a side, not {grid}"):
        resize_position_table(make_table(4), grid, "dino")


def test_timm_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match="timm is not installed"):
        resize_position_table(make_table(4), 5, "timm")
    assert resize_position_table(make_table(4), 5, "dino").shape == (1, 26, 3)
