from __future__ import annotations

import pytest

from radiodino.runtime.compute import Arithmetic, choose_compute
from radiodino.runtime.errors import BackendError

CUDA = Arithmetic(("fp32", "fp16"), "fp16")
AMX = Arithmetic(("fp32", "bf16", "fp16"), "bf16")
PLAIN = Arithmetic(("fp32",), "fp32")


@pytest.mark.parametrize(
    ("arithmetic", "precision", "requested", "expected"),
    [
        (CUDA, "fp32", None, "fp32"),
        (AMX, "fp32", None, "fp32"),
        (PLAIN, "fp32", None, "fp32"),
        (CUDA, "fp16", None, "fp16"),
        (AMX, "fp16", None, "bf16"),
        (PLAIN, "fp16", None, "fp32"),
        (AMX, "fp32", "bf16", "bf16"),
        (AMX, "fp16", "fp32", "fp32"),
        (CUDA, "fp16", "fp32", "fp32"),
        (AMX, "int8", None, "bf16"),
        (PLAIN, "int8", None, "fp32"),
        (AMX, "int8", "fp32", "fp32"),
        (AMX, "int8-dynamic", None, "bf16"),
    ],
)
def test_arithmetic_follows_the_file_unless_asked_otherwise(arithmetic, precision, requested, expected):
    assert choose_compute("engine", arithmetic, precision=precision, requested=requested) == expected


@pytest.mark.parametrize(
    ("arithmetic", "precision", "requested", "expected"),
    [
        (AMX, "fp16", None, "fp32"),
        (AMX, "fp16", "bf16", "bf16"),
        (CUDA, "fp16", None, "fp16"),
        (AMX, "int8", None, "bf16"),
    ],
)
def test_what_decides_is_not_rounded_to_bf16_unasked(arithmetic, precision, requested, expected):
    found = choose_compute("engine", arithmetic, precision=precision, requested=requested, decides=True)
    assert found == expected


@pytest.mark.parametrize("requested", ["bf16", "fp16", "int4"])
def test_what_is_not_to_be_had_is_an_error_not_a_fall_back(requested):
    with pytest.raises(BackendError, match=f"does not compute in {requested}: choose fp32"):
        choose_compute("engine", PLAIN, precision="fp16", requested=requested)


def test_the_float_parts_of_an_int8_file_are_never_fp16():
    with pytest.raises(BackendError, match="choose --compute fp32 or bf16"):
        choose_compute("engine", AMX, precision="int8", requested="fp16")
