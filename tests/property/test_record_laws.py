# SPDX-License-Identifier: Apache-2.0
"""Laws of every record and post: one form per value, and bytes are a value or an expected error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.posts.envelope import Post, decode_post
from tests.property.record_formats import DEVICE_FACING, FORMATS, Format
from tests.property.strategies_damage import VALUES, damaged
from tests.property.strategies_records import posts

EVERY = pytest.mark.parametrize("form", FORMATS, ids=str)
FACING_DEVICES = pytest.mark.parametrize("form", DEVICE_FACING, ids=str)


@EVERY
@given(data=st.data())
def test_a_record_reads_back(form: Format, data: st.DataObject) -> None:
    record = data.draw(form.values)
    assert form.read(form.encode(record)) == record
    if form.read_as_device is not None:
        assert form.read_as_device(form.encode(record)) == record


@EVERY
@given(data=st.data())
def test_a_damaged_record_is_refused_or_written_the_same_way(
    form: Format, data: st.DataObject
) -> None:
    """What the ledger accepts has one encoding, so nothing else can stand for the same record."""
    good = cbor.decode(form.encode(data.draw(form.values)))
    bad = cbor.encode(data.draw(damaged(good)))
    try:
        record = form.read(bad)
    except Malformed:
        return
    assert form.encode(record) == bad


@FACING_DEVICES
@given(data=st.data())
def test_a_device_reads_a_damaged_record_or_gives_an_expected_error(
    form: Format, data: st.DataObject
) -> None:
    good = cbor.decode(form.encode(data.draw(form.values)))
    bad = cbor.encode(data.draw(damaged(data.draw(damaged(good)))))
    assert form.read_as_device is not None
    reason = "unsupported"
    try:
        form.read_as_device(bad)
    except Malformed:
        return
    except Untrusted as error:
        reason = error.reason
    assert reason == "unsupported"


@EVERY
@given(value=VALUES, noise=st.binary(max_size=60))
def test_any_bytes_are_a_record_or_malformed(form: Format, value: object, noise: bytes) -> None:
    for item in (cbor.encode(value), noise):
        try:
            record = form.read(item)
        except Malformed:
            continue
        assert form.encode(record) == item


@FACING_DEVICES
@given(data=st.data(), label=st.integers(13, 2**20) | st.integers(-(2**20), -1))
def test_an_unknown_label_of_the_record_itself(
    form: Format, data: st.DataObject, label: int
) -> None:
    """The ledger refuses it; a device refuses a critical one and skips an advisory one."""
    record = data.draw(form.values)
    known = cbor.decode(form.encode(record))
    assert isinstance(known, dict)
    label = label + 1 if label in known else label
    longer = cbor.encode(known | {label: data.draw(VALUES)})
    with pytest.raises(Malformed, match="unknown label"):
        form.read(longer)
    assert form.read_as_device is not None
    if label >= 0:
        with pytest.raises(Untrusted, match="unsupported"):
            form.read_as_device(longer)
    else:
        assert form.read_as_device(longer) == record


@given(post=posts())
def test_a_post_reads_back(post: Post) -> None:
    assert decode_post(post.encode()) == post


@given(data=st.data(), post=posts())
def test_a_damaged_post_is_refused_or_written_the_same_way(data: st.DataObject, post: Post) -> None:
    good = cbor.decode(post.encode())
    assert isinstance(good, cbor.Tag)
    bad = cbor.encode(cbor.Tag(good.number, data.draw(damaged(good.value))))  # type: ignore[arg-type]
    try:
        read = decode_post(bad)
    except Malformed:
        return
    assert read.encode() == bad


@given(data=st.data(), post=posts())
def test_a_damaged_protected_header_is_refused_or_written_the_same_way(
    data: st.DataObject, post: Post
) -> None:
    good = cbor.decode(post.encode())
    assert isinstance(good, cbor.Tag)
    assert isinstance(good.value, tuple)
    protected, *rest = good.value
    assert isinstance(protected, bytes)
    header = cbor.encode(data.draw(damaged(cbor.decode(protected))))
    bad = cbor.encode(cbor.Tag(good.number, (header, *rest)))
    try:
        read = decode_post(bad)
    except Malformed:
        return
    assert read.encode() == bad


@given(value=VALUES, noise=st.binary(max_size=60), number=st.sampled_from([18, 98, 107]))
def test_any_bytes_are_a_post_or_malformed(value: object, noise: bytes, number: int) -> None:
    for item in (cbor.encode(value), cbor.encode(cbor.Tag(number, value)), noise):  # type: ignore[arg-type]
        with pytest.raises(Malformed):
            decode_post(item)
