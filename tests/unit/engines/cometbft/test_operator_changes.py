# SPDX-License-Identifier: Apache-2.0
"""Operators come and go by `board.set`: who votes, who signs, whose lines count, who follows."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.checkin.chains import MissingLinks
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.operator_keys import OperatorKeys, load_signer
from fieldpost.errors import NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.ledger.codes import Code
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_cluster import PaperCluster
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import format_checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import parse_cosignature
from fieldpost.tlog.note import Note, format_note, parse_note
from tests.unit.engines.cometbft.devices import check_in, links_of, provisioning
from tests.unit.engines.cometbft.signing import exchange, published, signed, until

FOUR = ("op0", "op1", "op2", "op3")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path)
    made.start()
    made.block(made.maker.registration())
    yield made
    made.close()


def finalize(cluster: PaperCluster, *posts: bytes) -> Any:
    """What operator 0 answers to a block of these posts, which all take then."""
    block = cluster.decide(*posts)
    fields: dict[str, Any] = {"height": block.height, "time": {"seconds": block.time}}
    found = cluster.operators[0].ask("finalize_block", txs=block.txs, **fields)
    for operator in cluster.operators:
        operator.take(block)
    return found


def updates(found: Any) -> dict[bytes, int]:
    return {update.pub_key.ed25519: update.power for update in found.validator_updates}


def validator(cluster: PaperCluster, name: str) -> bytes:
    return cluster.members[name].validator.key


def test_who_votes_changes_with_the_very_block_that_carries_the_record(
    cluster: PaperCluster,
) -> None:
    cluster.join("op4")
    added = finalize(cluster, cluster.board_set(*FOUR, "op4"))
    assert updates(added) == {validator(cluster, "op4"): 1}
    assert updates(finalize(cluster)) == {}
    left = finalize(cluster, cluster.board_set("op1", "op2", "op3", "op4"))
    assert updates(left) == {validator(cluster, "op0"): 0}


def test_an_operators_validator_key_is_replaced_in_one_block(cluster: PaperCluster) -> None:
    member = cluster.members["op2"]
    old = member.validator.key
    fresh = DeterministicSigner(Algorithm.ED25519, "validator/op2/again")
    cluster.members["op2"] = replace(
        member,
        entry=replace(member.entry, validator_key=fresh.public_key.raw),
        signers=(*member.signers[:3], fresh),
    )
    assert updates(finalize(cluster, cluster.board_set(*FOUR))) == {
        old: 0,
        fresh.public_key.raw: 1,
    }


def test_a_change_with_one_signature_short_changes_nobody(cluster: PaperCluster) -> None:
    newcomer = cluster.join("op4")
    new = cluster.members["op4"].signers
    old = [cluster.members[name].signers[0] for name in FOUR]
    before = newcomer.replica.root
    short = {
        Code.THRESHOLD: [*old[:2], *new],
        Code.POSSESSION: [*old[:3], *new[:3]],  # the validator key did not sign
    }
    for code, signers in short.items():
        found = finalize(cluster, cluster.board_set(*FOUR, "op4", signers=signers))
        assert cbor.decode(found.tx_results[0].data) == (int(code),)
        assert (found.app_hash, updates(found)) == (before, {})
    found = finalize(cluster, cluster.board_set(*FOUR, "op4", signers=[*old[:3], *new]))
    assert updates(found) == {validator(cluster, "op4"): 1}


def test_a_newcomer_follows_from_the_genesis_file_and_signs_from_its_own_size_on(
    cluster: PaperCluster,
) -> None:
    cluster.block(cluster.maker.class_set())
    newcomer = cluster.join("op4")
    cluster.block()
    assert newcomer.replica.root == cluster.operators[0].replica.root
    exchange(cluster, 6, [0, 1, 2])
    # It shows what the operators published, and has nothing of its own to say.
    until(newcomer.publisher, lambda: 6 in newcomer.publisher._sizes)
    newcomer.publisher.add_note(6, cluster.operators[0].publisher.note_of(6))
    assert published(newcomer, 6).size == 6
    assert newcomer.publisher._sizes[6].own == 0

    cluster.block(cluster.board_set(*FOUR, "op4"))
    cluster.block()
    size = newcomer.replica.state.size
    names = {line.name for line in parse_note(signed(newcomer, size)).signatures}
    assert "op4" in names
    exchange(cluster, size, [1, 2, 3, 4])
    assert len(published(newcomer, size).cosignatures) == 4
    exchange(cluster, size, [0, 4])


def remove_op3(cluster: PaperCluster) -> int:
    """The size at which op3 is an operator no more, confirmed by the next block."""
    cluster.block(cluster.board_set("op0", "op1", "op2"))
    cluster.block()
    return cluster.operators[0].replica.state.size


def lines_of_op3(cluster: PaperCluster, size: int) -> bytes:
    """What the removed operator's keys make of a size, whatever its own program would do."""
    directory = keys_directory(cluster.operators[3].data)
    log, cosigner = (load_signer(directory / f"{name}.pem") for name in ("log", "cosigner"))
    publisher = cluster.operators[0].publisher
    until(publisher, lambda: size in publisher._sizes)
    checkpoint = publisher._sizes[size].computed.checkpoint
    keys = OperatorKeys(log=log, cosigner=cosigner)
    lines = keys.local_cosigner(cluster.members["op3"].entry).cosign(
        checkpoint, timestamp=cluster.time
    )
    own = sign_checkpoint(checkpoint, name=checkpoint.origin, signer=log)
    return format_note(Note(format_checkpoint(checkpoint), (own, *lines)))


def test_a_removed_operators_cosignatures_count_for_nothing(cluster: PaperCluster) -> None:
    """Two of three signed, and the removed one as well: nothing is published."""
    size = remove_op3(cluster)
    exchange(cluster, size, [0, 1])
    one = cluster.operators[0].publisher
    forged = lines_of_op3(cluster, size)
    with pytest.raises((Untrusted, NotFound)):
        one.add_note(size, forged)
    assert "op3" not in {line.name for line in parse_note(one.note_of(size)).signatures}
    assert one.heads is None
    exchange(cluster, size, [0, 1, 2])
    assert len(published(cluster.operators[0], size).cosignatures) == 3


def test_control_before_it_was_removed_the_same_keys_made_the_quorum(
    cluster: PaperCluster,
) -> None:
    cluster.block()
    exchange(cluster, 4, [0, 1])
    cluster.operators[0].publisher.add_note(4, lines_of_op3(cluster, 4))
    assert len(published(cluster.operators[0], 4).cosignatures) == 3


def test_a_removed_operator_follows_and_signs_nothing_more(cluster: PaperCluster) -> None:
    size = remove_op3(cluster)
    exchange(cluster, size, [0, 1, 2])
    left = cluster.operators[3]
    until(left.publisher, lambda: size in left.publisher._sizes)
    left.publisher.add_note(size, cluster.operators[0].publisher.note_of(size))
    head = published(left, size)
    assert len(head.cosignatures) == 3
    assert left.publisher._sizes[size].own == 0
    assert left.replica.root == head.checkpoint.root


# --- devices ---


def test_a_device_that_slept_through_five_changes_follows_and_checks_in(
    cluster: PaperCluster,
) -> None:
    """In the end nobody is left of those whom the device knew."""
    cluster.block(cluster.maker.class_set())
    sleeper = provisioning(cluster)
    names = list(FOUR)
    for n in range(4, 9):
        cluster.join(f"op{n}")
        names = [*names[1:], f"op{n}"]
        cluster.block(cluster.board_set(*names))
    cluster.block()
    size = cluster.state.size
    exchange(cluster, size, [5, 6, 7])
    head = published(cluster.operators[5], size)
    links = links_of(cluster.operators[8], size)
    assert len(links) == 5

    verified = check_in(cluster, sleeper, head, links)
    assert verified.belief.board_view().epoch == 5
    assert sha256(links[-1]).digest() == verified.belief.board_link
    for missing in range(5):
        with pytest.raises((MissingLinks, Untrusted)):
            check_in(cluster, sleeper, head, links[:missing] + links[missing + 1 :])


def test_a_device_counts_no_line_of_a_removed_operator(cluster: PaperCluster) -> None:
    """Removed and two of three: a quorum of those before, none of those of now."""
    cluster.block(cluster.maker.class_set())
    sleeper = provisioning(cluster)
    size = remove_op3(cluster)
    exchange(cluster, size, [0, 1, 2])
    head = published(cluster.operators[0], size)
    links = links_of(cluster.operators[0], size)
    assert check_in(cluster, sleeper, head, links).belief.board_view().epoch == 1
    forged = parse_cosignature(parse_note(lines_of_op3(cluster, size)).signatures[1])
    short = replace(head, cosignatures=(*head.cosignatures[:2], forged))
    with pytest.raises(Untrusted, match="no-quorum"):
        check_in(cluster, sleeper, short, links)
    with without(Defence.QUORUM):
        check_in(cluster, sleeper, short, links)
