# SPDX-License-Identifier: Apache-2.0
"""What operators sign, and what they show: nothing that the others did not agree on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.errors import Malformed, Misbehaviour, NotFound, Untrusted
from fieldpost.testing.paper_cluster import Block, PaperCluster
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, parse_checkpoint
from fieldpost.tlog.note import Note, format_note, parse_note
from tests.unit.engines.cometbft.signing import exchange, published, signed, until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path)
    made.start()
    yield made
    made.close()


def test_a_size_is_signed_only_after_the_block_that_confirms_it(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    one = cluster.operators[0]
    signed(one, 2)
    with pytest.raises(NotFound):
        one.publisher.note_of(4)
    cluster.block()
    signed(one, 4)


def test_a_quorum_publishes_and_one_less_does_not(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1])
    assert cluster.operators[0].publisher.heads is None
    exchange(cluster, 4, [0, 1, 2])
    head = published(cluster.operators[0], 4)
    assert len(head.cosignatures) >= 3
    assert head.map.root == cluster.state.map.root
    assert head.checkpoint.root == cluster.operators[3].replica.root


def test_whoever_knows_all_lines_hands_them_on(cluster: PaperCluster) -> None:
    """Operator 3 hears of operator 0 alone, and publishes what 0, 1 and 2 signed."""
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2])
    published(cluster.operators[0], 4)
    last = cluster.operators[3]
    signed(last, 4)
    last.publisher.add_note(4, cluster.operators[0].publisher.note_of(4))
    assert len(published(last, 4).cosignatures) == 4


def test_a_dead_operator_is_wanted_and_waited_for_by_nobody(cluster: PaperCluster) -> None:
    cluster.operators[3].crash()
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2])
    publisher = cluster.operators[0].publisher
    published(cluster.operators[0], 4)
    assert [wanted.size for wanted in publisher.wait_wanted("op3", 0)] == [4]
    assert publisher.wait_wanted("op1", 0) == []


def test_a_false_line_changes_nothing(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    one, two = cluster.operators[:2]
    note = parse_note(signed(two, 4))
    signed(one, 4)
    first, *lines = note.signatures
    bad = type(lines[0])(
        lines[0].name, lines[0].key_id, lines[0].payload[:-1] + bytes([lines[0].payload[-1] ^ 1])
    )
    before = one.publisher.note_of(4)
    with pytest.raises(Untrusted, match="bad-signature"):
        one.publisher.add_note(4, format_note(Note(note.text, (first, bad))))
    with pytest.raises(Malformed):
        one.publisher.add_note(4, b"no note")
    with pytest.raises(Malformed, match="size 2"):
        one.publisher.add_note(4, signed(two, 2))
    with pytest.raises(NotFound):
        one.publisher.add_note(100, signed(two, 4))
    assert one.publisher.note_of(4) == before


def test_an_operator_that_signs_another_root_is_caught_with_both_heads(
    cluster: PaperCluster,
) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    one, liar = cluster.operators[:2]
    signed(one, 4)
    computed = liar.publisher._sizes[4].computed if signed(liar, 4) else None
    assert computed is not None
    false = Checkpoint(computed.checkpoint.origin, 4, b"\x07" * 32)
    from fieldpost.engines.board_files import keys_directory
    from fieldpost.engines.operator_keys import find_keys
    from fieldpost.ledger.reading import read_board
    from fieldpost.tlog.checkpoint import sign_checkpoint

    keys, operator = find_keys(keys_directory(liar.data), read_board(computed.state.map))
    lines = keys.local_cosigner(operator).cosign(false, timestamp=cluster.time)
    log_line = sign_checkpoint(false, name=false.origin, signer=keys.log)
    note = format_note(Note(format_checkpoint(false), (log_line, *lines)))
    with pytest.raises(Misbehaviour, match="op1") as caught:
        one.publisher.add_note(4, note)
    ours, theirs = caught.value.evidence
    assert (
        parse_checkpoint(parse_note(ours).text).root
        != parse_checkpoint(parse_note(theirs).text).root
    )
    assert theirs == note
    # Under an invented line of somebody else it convicts its author, and nobody else.
    innocent = next(line for line in parse_note(ours).signatures if line.name != log_line.name)
    spoilt = format_note(Note(format_checkpoint(false), (log_line, *lines, innocent)))
    with pytest.raises(Misbehaviour, match="op1") as caught:
        one.publisher.add_note(4, spoilt)
    assert caught.value.evidence[1] == note


def test_an_unchanged_head_is_cosigned_again_after_an_epoch(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2, 3])
    first = published(cluster.operators[0], 4)
    cluster.time += 61
    for operator in cluster.operators:
        one = operator.publisher._sizes[4]
        until(operator.publisher, lambda one=one: one.own == cluster.time)  # type: ignore[misc]
        assert [wanted.size for wanted in operator.publisher.wait_wanted("op9", 0)] in ([], [4])
    exchange(cluster, 4, [0, 1, 2, 3])
    publisher = cluster.operators[0].publisher
    until(
        publisher,
        lambda: publisher.heads is not None and publisher.heads.newest.timestamp == cluster.time,
    )
    assert publisher.heads is not None
    assert publisher.heads.newest.timestamp > first.timestamp
    assert publisher.heads.newest.size == first.size


def test_after_a_restart_the_published_head_is_there_at_once(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2])
    one = cluster.operators[0]
    before = published(one, 4)
    one.crash()
    one.start()
    heads = one.publisher.heads
    assert heads is not None
    assert heads.newest.note == before.note
    assert parse_note(one.publisher.note_of(4)).text == parse_note(before.note).text


def test_nobody_signs_below_what_was_signed_before(cluster: PaperCluster) -> None:
    """An operator whose data was lost replays old sizes, and signs none of them again."""
    cluster.block(cluster.maker.registration())
    cluster.block(cluster.maker.class_set())
    cluster.block()
    one = cluster.operators[0]
    signed(one, 6)
    one.crash()
    for path in (*one.data.glob("state.db*"), one.data / "log" / "checkpoint"):
        path.unlink(missing_ok=True)
    one.start()
    one.replay(cluster.blocks)
    signed(one, 6)
    for size in (2, 4):
        with pytest.raises(NotFound):
            one.publisher.note_of(size)


def test_who_lost_its_data_signs_nothing_while_it_is_behind_and_complains_of_nothing(
    cluster: PaperCluster,
) -> None:
    behind = cluster.operators[3]
    behind.publisher._mark.record(100, b"\x07" * 32)  # signed before the data was lost
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2])
    published(cluster.operators[0], 4)
    until(behind.publisher, lambda: 4 in behind.publisher._sizes)
    behind.publisher.add_note(4, cluster.operators[0].publisher.note_of(4))
    assert len(published(behind, 4).cosignatures) == 3
    cluster.time += 10_000  # the head is older than an epoch, and would be cosigned again
    behind.publisher._refresh()
    assert behind.publisher.trouble is None


def test_what_was_signed_and_lost_in_a_power_cut_of_all_is_signed_again_without_a_new_block(
    cluster: PaperCluster,
) -> None:
    """An idle board makes no block for half a minute, and posts of the last one wait."""
    cluster.block(cluster.maker.registration())
    cluster.block()
    for operator in cluster.operators:
        signed(operator, 4)
        operator.crash()
    cluster.start()
    exchange(cluster, 4, [0, 1, 2])
    published(cluster.operators[0], 4)


def test_what_nobody_confirmed_is_not_signed_after_a_restart_either(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    one = cluster.operators[0]
    signed(one, 2)
    one.crash()
    one.start()
    with pytest.raises(NotFound):
        one.publisher.note_of(4)
    one.take(cluster.decide())
    signed(one, 4)


def test_a_clock_that_is_corrected_by_seconds_never_makes_an_older_head_look_newer(
    cluster: PaperCluster,
) -> None:
    """What is cosigned later bears no earlier time: it would prove that the operator went back."""
    one = cluster.operators[0]
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2, 3])
    published(one, 4)
    cluster.time += 61
    until(one.publisher, lambda: one.publisher._sizes[4].own == cluster.time)
    ahead, cluster.time = cluster.time, cluster.time - 30
    cluster.block(cluster.maker.class_set())
    cluster.block()
    signed(one, 6)
    assert one.publisher._sizes[6].own == ahead


def test_a_clock_that_is_wrong_for_a_while_costs_no_size_its_signature(
    cluster: PaperCluster,
) -> None:
    one = cluster.operators[0]
    cluster.block(cluster.maker.registration())
    right, cluster.time = cluster.time, cluster.time - 7_200
    cluster.blocks.append(Block([], 2, right))
    for operator in cluster.operators:
        operator.take(cluster.blocks[-1])
    until(one.publisher, lambda: "behind the last batch" in (one.publisher.trouble or ""))
    with pytest.raises(NotFound):
        one.publisher.note_of(4)
    cluster.time = right
    exchange(cluster, 4, [0, 1, 2, 3])
    published(one, 4)
