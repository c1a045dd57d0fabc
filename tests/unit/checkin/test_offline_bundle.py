# SPDX-License-Identifier: Apache-2.0
"""The container of an offline update: one form, limits, and only what is needed is read."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.checkin.offline_bundle import (
    MAX_LINKS,
    OfflineBundle,
    encode_offline_bundle,
    read_offline_bundle,
)
from fieldpost.errors import Malformed
from fieldpost.records import limits

SMALL = OfflineBundle(
    check_in=b"check-in",
    board_links=(b"b1", b"b2"),
    maker_links=(),
    envelope=b"envelope",
    release_proof=None,
)


def encode(bundle: OfflineBundle, *artifacts: bytes) -> bytes:
    return b"".join(encode_offline_bundle(bundle, [(len(data), [data]) for data in artifacts]))


def read(data: bytes) -> OfflineBundle:
    return read_offline_bundle(lambda offset, count: data[offset : offset + count], len(data))


@given(
    links=st.lists(st.binary(max_size=300), max_size=30),
    proof=st.none() | st.binary(max_size=70_000),
    artifacts=st.lists(st.binary(max_size=70_000), max_size=4),
)
def test_what_is_written_is_deterministic_cbor_and_reads_back(
    links: list[bytes], proof: bytes | None, artifacts: list[bytes]
) -> None:
    bundle = replace(SMALL, maker_links=tuple(links), release_proof=proof)
    data = encode(bundle, *artifacts)
    assert cbor.encode(cbor.decode(data)) == data
    found = read(data)
    assert replace(found, artifacts=()) == bundle
    parts = [data[span.offset : span.offset + span.size] for span in found.artifacts]
    assert parts == artifacts


def test_artifacts_are_passed_over_and_not_read() -> None:
    asked: list[int] = []
    data = encode(SMALL, bytes(1_000_000), bytes(10))

    def piece(offset: int, count: int) -> bytes:
        asked.append(count)
        return data[offset : offset + count]

    assert len(read_offline_bundle(piece, len(data)).artifacts) == 2
    assert sum(asked) < 100


@pytest.mark.parametrize("cut", range(0, 36, 3))
def test_a_file_that_ends_early_or_goes_on_is_malformed(cut: int) -> None:
    data = encode(SMALL, b"artifact")
    with pytest.raises(Malformed):
        read(data[:cut])
    with pytest.raises(Malformed, match="follow"):
        read(data + b"\x00")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(b"\x87\x01" + data[:1] + b"\xff" + data)


def test_a_length_in_a_longer_form_than_needed_is_malformed() -> None:
    data = encode(SMALL)
    longer = data.replace(b"\x48check-in", b"\x58\x08check-in")
    with pytest.raises(Malformed, match="shortest"):
        read(longer)


@pytest.mark.parametrize(
    "bundle",
    [
        replace(SMALL, check_in=bytes(limits.MAX_PROOF_BYTES + 1)),
        replace(SMALL, envelope=bytes(limits.MAX_ENVELOPE_BYTES + 1)),
        replace(SMALL, release_proof=bytes(limits.MAX_PROOF_BYTES + 1)),
        replace(SMALL, board_links=(bytes(limits.MAX_ENTRY_BYTES + 1),)),
        replace(SMALL, maker_links=(b"",) * (MAX_LINKS + 1)),
        replace(SMALL, maker_links=(bytes(60_000),) * 80),
    ],
)
def test_what_is_over_a_limit_is_neither_written_nor_read(bundle: OfflineBundle) -> None:
    with pytest.raises(Malformed):
        encode(bundle)
    members = [1, bundle.check_in, bundle.board_links, bundle.maker_links, bundle.envelope]
    with pytest.raises(Malformed):
        read(cbor.encode([*members, bundle.release_proof, []]))


def test_an_artifact_of_another_size_than_announced_is_not_written() -> None:
    with pytest.raises(Malformed, match="announced"):
        b"".join(encode_offline_bundle(SMALL, [(3, [b"ab"])]))
