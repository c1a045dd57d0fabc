# SPDX-License-Identifier: Apache-2.0
"""Evidence of a split view convinces whoever knows the board id, and nothing less does."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.evidence import (
    SplitView,
    decode_evidence,
    is_evidence,
    make_evidence,
    note_of_bundle,
    verify_evidence,
)
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records.limits import MAX_CHECKIN_BYTES
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import sign_checkpoint
from fieldpost.tlog.cosignature import Cosignature, cosign, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note
from fieldpost.tlog.proof import prove_prefix
from fieldpost.tlog.tree import MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint


@pytest.fixture(scope="module")
def world() -> BoardWorld:
    return BoardWorld(operators=4, witnesses=1)


def tree(*entries: bytes) -> MemoryTree:
    return MemoryTree(map(leaf_hash, entries))


def signed(
    world: BoardWorld, tree: MemoryTree, *, logs: Sequence[int] = (), cosigners: Sequence[int] = ()
) -> bytes:
    """A head of `tree`, signed by the log keys and cosigners of some operators."""
    head = Checkpoint(world.origin, tree.size, tree.root())
    lines = [sign_checkpoint(head, name=world.origin, signer=world.operators[n].log) for n in logs]
    for n in cosigners:
        actor = world.operators[n]
        name = actor.cosigner_name
        cosignature = cosign(head, name=name, signer=actor.cosigner(), timestamp=world.time)
        lines.append(format_cosignature(cosignature, name=name))
    return format_note(Note(format_checkpoint(head), tuple(lines)))


def forked(world: BoardWorld, small: int, large: int) -> tuple[MemoryTree, MemoryTree]:
    """Two trees of which the larger one does not extend the smaller one."""
    return tree(*[b"one %d" % n for n in range(small)]), tree(
        *[b"two %d" % n for n in range(large)]
    )


def test_two_roots_of_one_size_name_the_key_that_signed_both(world: BoardWorld) -> None:
    one, two = tree(b"a"), tree(b"b")
    notes = signed(world, one, logs=[0, 1]), signed(world, two, logs=[1], cosigners=[2])
    evidence = make_evidence(world.board, notes, links=[world.genesis])
    proven = verify_evidence(decode_evidence(evidence.encode()))
    assert [signer.name for signer in proven.authors] == ["operator1"]
    assert {proven.first.root, proven.second.root} == {one.root(), two.root()}


def test_evidence_has_one_form_in_whatever_order_the_heads_came(world: BoardWorld) -> None:
    notes = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b"), logs=[0])
    one = make_evidence(world.board, notes, links=())
    assert one == make_evidence(world.board, notes[::-1], links=())
    assert is_evidence(one.encode())


@pytest.mark.parametrize(("small", "large"), [(1, 2), (2, 3), (3, 4), (3, 7), (4, 9), (6, 300)])
def test_a_larger_tree_that_does_not_extend_the_smaller_is_a_split_view(
    world: BoardWorld, small: int, large: int
) -> None:
    one, two = forked(world, small, large)
    notes = signed(world, one, cosigners=[0]), signed(world, two, cosigners=[0])
    path = prove_prefix(two, old_size=small, size=large)
    evidence = make_evidence(world.board, notes, path=path, links=[world.genesis])
    proven = verify_evidence(decode_evidence(evidence.encode()))
    assert [(signer.role, signer.name) for signer in proven.authors] == [("operator", "operator0")]


@pytest.mark.parametrize(("small", "large"), [(1, 2), (2, 3), (3, 4), (3, 7), (4, 9), (6, 300)])
def test_heads_of_one_log_are_no_split_view(world: BoardWorld, small: int, large: int) -> None:
    whole = [b"%d" % n for n in range(large)]
    one, two = tree(*whole[:small]), tree(*whole)
    notes = signed(world, one, logs=[0]), signed(world, two, logs=[0])
    path = prove_prefix(two, old_size=small, size=large)
    assert refusal(make_evidence(world.board, notes, path=path, links=[world.genesis])) == (
        "no-split-view"
    )


def test_a_proof_of_another_tree_accuses_nobody(world: BoardWorld) -> None:
    """Whoever wants to blame an honest operator may choose the proof, and no root by it."""
    whole = [b"%d" % n for n in range(7)]
    one, two = tree(*whole[:3]), tree(*whole)
    other = tree(*[b"other %d" % n for n in range(7)])
    notes = signed(world, one, logs=[0]), signed(world, two, logs=[0])
    path = prove_prefix(other, old_size=3, size=7)
    assert refusal(make_evidence(world.board, notes, path=path, links=[world.genesis])) == (
        "no-split-view"
    )


def test_two_operators_that_signed_one_history_each_have_no_common_author(
    world: BoardWorld,
) -> None:
    notes = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b"), logs=[1])
    proven = verify_evidence(make_evidence(world.board, notes, links=[world.genesis]))
    assert proven.authors == ()
    names = {signer.name for signer in proven.signed_first + proven.signed_second}
    assert names == {"operator0", "operator1"}


def test_keys_of_strangers_are_no_evidence(world: BoardWorld) -> None:
    stranger = BoardWorld(operators=1, epoch_s=7)
    own = replace(stranger.operators[0], generation=3)
    head = Checkpoint(world.origin, 1, leaf_hash(b"b"))
    line = sign_checkpoint(head, name=world.origin, signer=own.log)
    forged = format_note(Note(format_checkpoint(head), (line,)))
    notes = signed(world, tree(b"a"), logs=[0]), forged
    assert refusal(make_evidence(world.board, notes, links=[world.genesis])) == "unknown-key"


def test_a_tampered_signature_is_no_evidence(world: BoardWorld) -> None:
    one, two = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b"), logs=[0])
    moved = two.partition(b"\n\n")[0] + b"\n\n" + one.partition(b"\n\n")[2]
    assert (
        refusal(make_evidence(world.board, (one, moved), links=[world.genesis])) == "bad-signature"
    )


def test_links_of_another_board_are_refused(world: BoardWorld) -> None:
    other = BoardWorld(operators=2)
    notes = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b"), logs=[0])
    assert refusal(make_evidence(world.board, notes, links=[other.genesis])) == "wrong-board"


def test_without_links_the_board_must_be_asked(world: BoardWorld) -> None:
    notes = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b"), logs=[0])
    evidence = make_evidence(world.board, notes, links=())
    assert refusal(evidence) == "missing-links"
    assert verify_evidence(evidence, links=[world.genesis]).authors


def test_a_key_that_a_later_record_dropped_is_called_former() -> None:
    board = PaperBoard(operators=4)
    one, two = (note_of(history) for history in forks(board))
    board.board_set(["operator0", "operator1", "operator2", "newcomer"])
    proven = verify_evidence(make_evidence(board.id, (one, two), links=board.board_chain))
    assert {signer.name: signer.is_former for signer in proven.authors} == {
        "operator0": False,
        "operator1": False,
        "operator2": False,
        "operator3": True,
    }


def test_what_strangers_wrote_beside_a_bundle_is_not_in_its_note() -> None:
    board = PaperBoard(operators=4)
    junk = replace(board.cosignatures()[0], signature=bytes(64))
    assert note_of(board, [junk, *board.cosignatures()]) == note_of(board)


def note_of(board: PaperBoard, cosignatures: Sequence[Cosignature] = ()) -> bytes:
    data = board.bundle_with(cosignatures or board.cosignatures())
    return note_of_bundle(
        decode_bundle(data, most_bytes=MAX_CHECKIN_BYTES),
        origin=board.origin,
        keys=[key for op in board.board_record.operators for key in op.cosigner_keys],
    )


def refusal(evidence: SplitView) -> str:
    with pytest.raises(Untrusted) as refused:
        verify_evidence(decode_evidence(evidence.encode()))
    return refused.value.reason


def forks(board: PaperBoard) -> tuple[PaperBoard, PaperBoard]:
    other = board.fork()
    board.seal([b"one history"])
    other.seal([b"another"])
    return board, other


def test_shapes_that_are_none_are_malformed(world: BoardWorld) -> None:
    one, two = signed(world, tree(b"a"), logs=[0]), signed(world, tree(b"b", b"c"), logs=[0])
    with pytest.raises(Malformed, match="prefix proof"):
        make_evidence(world.board, (one, two), links=())
    with pytest.raises(Malformed, match="smaller head first"):
        SplitView(board=world.board, links=(), first=two, second=one, path=(bytes(32),))
    with pytest.raises(Malformed, match="not evidence"):
        decode_evidence(b"\x80")
