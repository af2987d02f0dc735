from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from radiodino.train.ssl.attention import attention  # noqa: E402

SHAPES = [
    pytest.param((2, 3, 10, 16), (2, 3, 10, 16), id="self"),
    pytest.param((2, 3, 1, 16), (2, 3, 37, 16), id="one query"),
    pytest.param((1, 1, 1, 4), (1, 1, 1, 4), id="one token"),
    pytest.param((2, 2, 5, 8), (2, 2, 3, 8), id="fewer keys"),
]


def inputs(query, key, dtype=torch.float32, spread=1.0):
    generator = torch.Generator().manual_seed(0)
    shapes = (query, key, key)
    return [(spread * torch.randn(s, generator=generator, dtype=torch.float64)).to(dtype) for s in shapes]


def learning(tensors):
    return [tensor.clone().requires_grad_() for tensor in tensors]


def plain(query, key, value, scale):
    return torch.softmax(query @ key.transpose(-1, -2) * scale, dim=-1) @ value


def gradients(function, tensors, scale):
    tensors = learning(tensors)
    taken = function(*tensors, scale)
    weights = torch.randn(taken.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (taken * weights.to(taken.dtype)).sum().backward()
    return [tensor.grad for tensor in tensors]


@pytest.mark.parametrize(("query", "key"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_are_those_of_pytorch_with_and_without_gradients(query, key, dtype):
    tensors = inputs(query, key, dtype)
    expected = functional.scaled_dot_product_attention(*tensors, scale=0.3)
    assert torch.equal(attention(*learning(tensors), 0.3), expected)
    found = attention(*tensors, 0.3)
    assert torch.equal(found, expected)
    assert found.dtype == dtype
    assert found.shape == query


def test_values_are_those_of_the_formula():
    tensors = inputs((2, 3, 10, 16), (2, 3, 10, 16), torch.float64)
    torch.testing.assert_close(attention(*learning(tensors), 0.3), plain(*tensors, 0.3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (1, 5), (5, 3)])
def test_gradients_are_the_true_ones(queries, keys):
    """Against differences of values, in float64."""
    tensors = learning(inputs((2, 2, queries, 3), (2, 2, keys, 3), torch.float64))
    assert torch.autograd.gradcheck(lambda *t: attention(*t, 0.3), tensors)


@pytest.mark.parametrize(("query", "key"), SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_gradients_are_those_of_the_formula(query, key, dtype, tolerance):
    tensors = inputs(query, key, dtype)
    expected = gradients(plain, [tensor.double() for tensor in tensors], 0.3)
    for found, wanted in zip(gradients(attention, tensors, 0.3), expected, strict=True):
        assert found.dtype == dtype
        scale = max(1.0, float(wanted.abs().max()))
        assert float((found.double() - wanted).abs().max()) < tolerance * scale


def test_large_logits_do_not_overflow():
    tensors = inputs((1, 2, 6, 8), (1, 2, 6, 8), spread=60.0)
    expected = gradients(plain, [tensor.double() for tensor in tensors], 1.0)
    for found, wanted in zip(gradients(attention, tensors, 1.0), expected, strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-4 * max(1.0, float(wanted.abs().max())))


def ways(taken):
    """The names of the steps behind a result."""
    return "" if taken.grad_fn is None else taken.grad_fn.name()


def test_products_are_used_on_a_cpu_where_a_gradient_is_wanted_and_nowhere_else():
    tensors = inputs((1, 2, 6, 8), (1, 2, 6, 8))
    assert "WithProducts" in ways(attention(*learning(tensors), 0.3))
    with torch.no_grad():
        assert not ways(attention(*learning(tensors), 0.3))
    on_meta = [tensor.to("meta").requires_grad_() for tensor in tensors]
    assert "WithProducts" not in ways(attention(*on_meta, 0.3))


def test_a_gradient_of_the_value_alone():
    query, key, value = inputs((1, 2, 6, 8), (1, 2, 6, 8), torch.float64)
    value.requires_grad_()
    attention(query, key, value, 0.3).sum().backward()
    expected = torch.softmax(query @ key.transpose(-1, -2) * 0.3, dim=-1).transpose(-1, -2).sum(-1, keepdim=True)
    torch.testing.assert_close(value.grad, expected.expand_as(value))
