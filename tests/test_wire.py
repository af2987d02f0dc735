from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radiodino.runtime.wire import BYTES, VARINT, WireError, bytes_field, fields, read_varint, varint, varint_field


@given(st.integers(0, 2**63 - 1))
def test_varint_round_trips(value):
    encoded = varint(value)
    assert read_varint(memoryview(encoded), 0) == (value, len(encoded))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 2**20), st.binary(max_size=300)),
            st.tuples(st.integers(1, 2**20), st.integers(0, 2**63 - 1)),
        )
    )
)
def test_messages_round_trip(message):
    encoded = b"".join(
        bytes_field(number, value) if isinstance(value, bytes) else varint_field(number, value)
        for number, value in message
    )
    found = [
        (field.number, bytes(field.data) if field.wire_type == BYTES else field.value)
        for field in fields(memoryview(encoded))
    ]
    assert found == message
    assert all(field.wire_type in (BYTES, VARINT) for field in fields(memoryview(encoded)))


@given(st.binary(max_size=200))
def test_any_bytes_end_in_fields_or_a_wire_error(data):
    try:
        covered = sum(field.end - field.start for field in fields(memoryview(data)))
    except WireError:
        return
    assert covered == len(data)


@pytest.mark.parametrize("data", [b"\x80", b"\xff" * 11, b"\x0a\x05abc", b"\x0b", b"\x00\x01", b"\x09\x00"])
def test_malformed_messages_are_refused(data):
    with pytest.raises(WireError):
        list(fields(memoryview(data)))
