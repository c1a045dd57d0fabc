# SPDX-License-Identifier: Apache-2.0
"""Every format of the log: what is written reads back, and bytes are a value or Malformed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Malformed
from fieldpost.tlog.cosignature import Cosignature, format_cosignature, parse_cosignature
from fieldpost.tlog.note import (
    COSIGNATURE_ED25519,
    COSIGNATURE_MLDSA44,
    ED25519,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    format_signature_lines,
    format_vkey,
    parse_note,
    parse_signature_lines,
    parse_vkey,
)
from fieldpost.tlog.offline import OfflineProof, format_offline_proof, parse_offline_proof
from fieldpost.tlog.policy import Group, Log, Policy, Witness, format_policy, parse_policy
from fieldpost.tlog.tiles import (
    Tile,
    decode_entry_bundle,
    encode_entry_bundle,
    entries_path,
    parse_entries_path,
    parse_tile_path,
    tile_path,
)
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint, parse_checkpoint

HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
NAMES = st.from_regex(r"[a-z0-9./\u00e4\u20ac-]{1,40}", fullmatch=True)
LINES = st.text(
    st.characters(exclude_categories=["Cs"], min_codepoint=0x20), min_size=1, max_size=40
)
SIGNATURES = st.builds(
    NoteSignature,
    name=NAMES,
    key_id=st.binary(min_size=4, max_size=4),
    payload=st.binary(min_size=1, max_size=80),
)
NOTES = st.builds(
    Note,
    text=st.lists(LINES | st.just(""), min_size=1, max_size=5).map(
        lambda lines: "".join(line + "\n" for line in lines)
    ),
    signatures=st.lists(SIGNATURES, min_size=1, max_size=20).map(tuple),
)
CHECKPOINTS = st.builds(
    Checkpoint,
    origin=LINES,
    size=NUMBERS,
    root=HASHES,
    extensions=st.lists(LINES, max_size=2).map(tuple),
)
PROOFS = st.builds(
    OfflineProof,
    index=NUMBERS,
    path=st.lists(HASHES, max_size=63).map(tuple),
    checkpoint_note=st.builds(
        Note, text=CHECKPOINTS.map(format_checkpoint), signatures=st.tuples(SIGNATURES)
    ).map(format_note),
    extra=st.none() | st.binary(min_size=1, max_size=99),
)
TILES = st.builds(Tile, level=st.integers(0, 63), index=NUMBERS, width=st.integers(1, 256))


@st.composite
def keys(draw: st.DrawFn) -> VerifierKey:
    kind = draw(st.sampled_from([ED25519, COSIGNATURE_ED25519, COSIGNATURE_MLDSA44]))
    length = 1312 if kind == COSIGNATURE_MLDSA44 else 32
    head = draw(st.binary(min_size=8, max_size=8))
    return VerifierKey(draw(NAMES), kind, head + bytes(length - 8))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    urls = st.none() | st.just("https://witness.example/")
    count = draw(st.integers(0, 6))
    witnesses = tuple(
        Witness(
            f"w{i}",
            VerifierKey(f"witness.example/{i}", COSIGNATURE_ED25519, bytes([i]) * 32),
            draw(urls),
        )
        for i in range(count)
    )
    logs = tuple(
        Log(VerifierKey(f"log.example/{i}", ED25519, bytes([i]) * 32), draw(urls))
        for i in range(draw(st.integers(0, 3)))
    )
    free = [w.name for w in witnesses]
    groups: list[Group] = []
    while free and len(groups) < 4 and draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        needed = draw(st.integers(1, len(chosen)))
        groups.append(Group(f"g{len(groups)}", needed, tuple(chosen)))
        free = [name for name in free if name not in chosen] + [groups[-1].name]
    quorum = draw(st.sampled_from([None, *free]))
    return Policy(logs=logs, witnesses=witnesses, groups=tuple(groups), quorum=quorum)


@given(key=keys())
def test_vkeys_read_back(key: VerifierKey) -> None:
    assert parse_vkey(format_vkey(key)) == key


@given(note=NOTES)
def test_notes_read_back(note: Note) -> None:
    assert parse_note(format_note(note)) == note
    lines = format_signature_lines(note.signatures)
    assert parse_signature_lines(lines) == note.signatures


@given(checkpoint=CHECKPOINTS)
def test_checkpoints_read_back(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(format_checkpoint(checkpoint), extensions=True) == checkpoint


@given(proof=PROOFS)
def test_offline_proofs_read_back(proof: OfflineProof) -> None:
    assert parse_offline_proof(format_offline_proof(proof)) == proof


@given(policy=policies())
def test_policies_read_back(policy: Policy) -> None:
    assert parse_policy(format_policy(policy)) == policy


@given(tile=TILES)
def test_tile_paths_read_back(tile: Tile) -> None:
    assert parse_tile_path(tile_path(tile)) == tile
    bundle = Tile(0, tile.index, tile.width)
    assert parse_entries_path(entries_path(bundle)) == bundle


@given(entries=st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_entry_bundles_read_back(entries: list[bytes]) -> None:
    assert decode_entry_bundle(encode_entry_bundle(entries)) == entries


@given(
    key_id=st.binary(min_size=4, max_size=4),
    timestamp=NUMBERS,
    length=st.sampled_from([64, 2420]),
    fill=st.integers(0, 255),
)
def test_cosignatures_read_back(key_id: bytes, timestamp: int, length: int, fill: int) -> None:
    cosignature = Cosignature(key_id, timestamp, bytes([fill]) * length)
    assert parse_cosignature(format_cosignature(cosignature, name="w")) == cosignature


def text_or_malformed(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("not UTF-8") from error


FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "vkey": lambda b: format_vkey(parse_vkey(text_or_malformed(b))).encode(),
    "note": lambda b: format_note(parse_note(b)),
    "checkpoint": lambda b: format_checkpoint(
        parse_checkpoint(text_or_malformed(b), extensions=True)
    ).encode(),
    "proof": lambda b: format_offline_proof(parse_offline_proof(b)),
    "tile path": lambda b: tile_path(parse_tile_path(text_or_malformed(b))).encode(),
    "entries path": lambda b: entries_path(parse_entries_path(text_or_malformed(b))).encode(),
    "entry bundle": lambda b: encode_entry_bundle(decode_entry_bundle(b)),
}

VALID: dict[str, st.SearchStrategy[bytes]] = {
    "vkey": keys().map(lambda key: format_vkey(key).encode()),
    "note": NOTES.map(format_note),
    "checkpoint": CHECKPOINTS.map(lambda checkpoint: format_checkpoint(checkpoint).encode()),
    "proof": PROOFS.map(format_offline_proof),
    "tile path": TILES.map(lambda tile: tile_path(tile).encode()),
    "entries path": TILES.map(lambda tile: entries_path(Tile(0, tile.index, tile.width)).encode()),
    "entry bundle": st.lists(st.binary(max_size=9), min_size=1, max_size=9).map(
        encode_entry_bundle
    ),
    "policy": policies().map(format_policy),
}


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Bytes out of nowhere, or valid ones with a few of them replaced, dropped or doubled."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    data = bytearray(draw(VALID[name]))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 3)))
        data[begin:end] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\n", b" ", b"0", b"=", b"x000/"])
        )
    return bytes(data)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_any_bytes_are_malformed_or_the_one_encoding_of_a_value(
    name: str, data: st.DataObject
) -> None:
    given_bytes = data.draw(damaged(name))
    try:
        again = FORMATS[name](given_bytes)
    except Malformed:
        return
    assert again == given_bytes


@given(data=st.data())
def test_any_bytes_are_malformed_or_a_policy_that_reads_back(data: st.DataObject) -> None:
    """People write policies by hand, so here several spellings mean the same."""
    try:
        policy = parse_policy(data.draw(damaged("policy")))
    except Malformed:
        return
    assert parse_policy(format_policy(policy)) == policy
