from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from radiodino.train.ssl.transfer import to_device  # noqa: E402


def test_where_it_is_already_it_stays():
    tensor = torch.rand(3)
    assert to_device(tensor, "cpu") is tensor
    assert to_device(tensor, torch.device("meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_arrives_on_a_cuda_device():
    tensor = torch.rand(3, 4)
    found = to_device(tensor, "cuda")
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), tensor)
