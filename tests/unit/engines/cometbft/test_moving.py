# SPDX-License-Identifier: Apache-2.0
"""A board that one node wrote is given to four operators: its log, proofs and devices go along."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fieldpost.engines.board_files import keys_directory, log_directory
from fieldpost.engines.cometbft.base_log import place_base
from fieldpost.engines.cometbft.genesis import Genesis, decode_genesis
from fieldpost.engines.cometbft.moving import check_same, copy_base, moved_genesis
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.operator_keys import load_signer
from fieldpost.errors import Misconfigured, NotFound, Unavailable, Untrusted
from fieldpost.keys import Signer
from fieldpost.ledger.batch import LedgerState
from fieldpost.node.mirrors import open_mirror
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_cluster import PaperCluster, PaperMember, make_member, make_operators
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import Note, format_note, parse_note
from fieldpost.tlog.proof import prove_inclusions, verify_inclusion
from fieldpost.tlog.tree import read_compact_range
from tests.unit.engines.cometbft.devices import check_in, links_of, provisioning
from tests.unit.engines.cometbft.signing import exchange, published


@dataclass
class Move:
    """A board on its way from one node to four operators."""

    root: Path
    old: BoardOnDisk
    sleeper: bytes = b""
    before: int = 0
    files: list[bytes] = field(default_factory=list)

    @property
    def governance(self) -> Signer:
        return load_signer(keys_directory(self.old.data) / "governance.pem")

    def engine(self) -> EmbeddedEngine:
        return EmbeddedEngine(self.old.data, clock=lambda: self.old.time)

    def give_to(self, members: tuple[PaperMember, ...]) -> bytes:
        """The post by which the old operator gives the board away."""
        new = [signer for member in members for signer in member.signers]
        return make_operators(self.old.state, members, [self.governance, *new])

    def begin(self, members: tuple[PaperMember, ...]) -> tuple[Genesis, LedgerState]:
        """Post it, and let every operator copy what there is then."""
        engine = self.engine()
        self.before = engine.published().size
        post = self.give_to(members)
        with pytest.raises(Unavailable, match="gave this board to the operators op0, op1, op2"):
            engine.submit(post).result(60)
        engine.close()
        self.old.time -= 60  # the batch has the time that the engine's clock showed
        self.old.apply([post])
        found = []
        for member in members:
            data = self.root / "new" / member.entry.name
            genesis, record = moved_genesis(data, open_mirror(str(self.old.data)))
            assert record.operators == tuple(other.entry for other in members)
            self.files.append(genesis.encode())
            found.append(genesis)
        return found[0], self.old.state


LONG = pytest.mark.parametrize("move", [140], indirect=True)  # more than one full tile


@pytest.fixture
def move(tmp_path: Path, request: pytest.FixtureRequest) -> Move:
    old = BoardOnDisk(tmp_path / "old")
    writer = old.open()
    old.write(writer, old.maker.registration())
    old.write(writer, old.maker.class_set())
    for count in range(1, getattr(request, "param", 4)):
        old.write(writer, old.maker.lot_enrol(count=count))
    writer.close()
    made = Move(tmp_path, old)
    made.sleeper = provisioning(old)
    return made


@pytest.fixture
def cluster(move: Move) -> Iterator[PaperCluster]:
    made = PaperCluster(move.root / "new", begin=move.begin, time=move.old.time)
    made.start()
    yield made
    made.close()


@LONG
def test_every_operator_makes_the_same_genesis_file_from_the_log(
    move: Move, cluster: PaperCluster
) -> None:
    assert len(set(move.files)) == 1
    genesis = decode_genesis(move.files[0])
    log = open_log(log_directory(move.old.data))
    assert (genesis.size, genesis.root) == (log.size, log.compact_range().root())
    assert genesis.size == move.before + 2
    assert genesis.genesis_post is None
    assert (genesis.board, genesis.time) == (move.old.state.board, cluster.state.last.time)
    assert [validator.name for validator in genesis.validators] == ["op0", "op1", "op2", "op3"]


def test_log_map_and_old_proofs_go_along_and_devices_notice_nothing(
    move: Move, cluster: PaperCluster
) -> None:
    """A device of before believes what the four publish, after one link signed by the old one."""
    operator = cluster.operators[0]
    heads = operator.publisher.heads
    assert heads is not None
    assert heads.newest.size == move.before  # what the old node published is shown meanwhile
    assert check_in(cluster, move.sleeper, heads.newest, []).timestamp

    cluster.block()
    base = cluster.genesis.size
    exchange(cluster, base, [0, 1, 2])
    head = published(operator, base)
    links = links_of(operator, base)
    assert check_in(cluster, move.sleeper, head, links).belief.board_view().epoch == 1

    cluster.block(cluster.maker.lot_enrol(count=999))
    cluster.block()
    size = base + 2
    exchange(cluster, size, [1, 2, 3])
    head = published(cluster.operators[1], size)
    assert check_in(cluster, move.sleeper, head, links).belief.board_view().epoch == 1
    log = cluster.operators[1].replica.log
    whole = log.read_entries(0, size)
    assert whole[:base] == open_log(log_directory(move.old.data)).read_entries(0, base)
    prefix = read_compact_range(log.hash_reader(), size=base).root()
    assert prefix == cluster.genesis.root
    (path,) = prove_inclusions(log.hash_reader(), indexes=[3], size=size)
    verify_inclusion(
        leaf_hash=leaf_hash(whole[3]), index=3, size=size, path=path, root=head.checkpoint.root
    )


def test_after_its_last_batch_the_old_node_shows_and_takes_nothing(
    move: Move, cluster: PaperCluster
) -> None:
    log = open_log(log_directory(move.old.data))
    size, note = log.size, log.read_checkpoint()
    engine = move.engine()
    assert engine.published().size == move.before
    with pytest.raises(Unavailable, match="move-to-cluster"):
        engine.submit(cluster.maker.lot_enrol(count=1_000)).result(60)
    with pytest.raises(Unavailable, match="move-to-cluster"):
        engine.refresh(move.old.time + 10_000)
    engine.close()
    log = open_log(log_directory(move.old.data))
    assert (log.size, log.read_checkpoint()) == (size, note)


@LONG
def test_a_copy_that_was_cut_off_goes_on(move: Move) -> None:
    """Also where nothing but a part of the log, or no state of it, was there yet."""
    members = PaperCluster(move.root / "new", begin=move.begin, time=move.old.time).members
    source, wanted = open_mirror(str(move.old.data)), move.files[0]
    data = move.root / "new" / "op0"
    assert moved_genesis(data, source)[0].encode() == wanted
    for path in data.glob("state.db*"):
        path.unlink()
    (data / "log" / "checkpoint").unlink()
    assert moved_genesis(data, source)[0].encode() == wanted
    half = move.root / "half"
    open_log(half / "log").append(open_log(log_directory(move.old.data)).read_entries(0, 8))
    assert moved_genesis(half, source)[0].encode() == wanted
    assert len(members) == 4


def test_a_newcomer_copies_the_base_from_any_operator(move: Move, cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.lot_enrol(count=999))
    cluster.block()
    size = cluster.genesis.size + 2
    exchange(cluster, size, [0, 1, 2])
    published(cluster.operators[0], size)
    for name, source in (("new/op0", "running"), ("old", "stopped")):
        data = move.root / source
        copy_base(data, cluster.genesis, open_mirror(str(move.root / name)))
        place_base(data, cluster.genesis)
        assert open_log(data / "log").size == cluster.genesis.size
    late = move.root / "late"
    with pytest.raises(Misconfigured, match="operator join"):
        moved_genesis(late, open_mirror(str(move.root / "new" / "op0")))


def test_a_board_that_was_given_to_nobody_does_not_move(move: Move) -> None:
    with pytest.raises(Misconfigured, match="board-set"):
        moved_genesis(move.root / "new", open_mirror(str(move.old.data)))
    with pytest.raises(NotFound):
        moved_genesis(move.root / "new", open_mirror(str(move.root)))


def test_another_log_is_not_taken_for_the_one_of_the_genesis_file(
    move: Move, cluster: PaperCluster
) -> None:
    other = BoardOnDisk(move.root / "other")
    writer = other.open()
    other.write(writer, other.maker.registration())
    writer.close()
    with pytest.raises(Misconfigured, match="does not begin with"):
        copy_base(move.root / "x", cluster.genesis, open_mirror(str(other.data)))
    with pytest.raises(Untrusted, match="another history"):
        moved_genesis(move.root / "new" / "op0", open_mirror(str(other.data)))


def test_what_a_source_holds_back_is_noticed_by_comparing(move: Move) -> None:
    """A mirror knows more, or something else, than the log that was copied."""
    writer = move.old.open()
    short = move.root / "short"
    source = open_log(log_directory(move.old.data))
    open_log(short / "log").append(source.read_entries(0, 8))
    writer.close()
    with pytest.raises(Untrusted, match="holds something back"):
        check_same(short, open_mirror(str(move.old.data)))
    check_same(move.old.data, open_mirror(str(move.old.data)))


@LONG
def test_damage_of_a_source_is_noticed(move: Move) -> None:
    path = log_directory(move.old.data) / "tile" / "entries" / "000"
    content = bytearray(path.read_bytes())
    content[1_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(Untrusted, match="does not hash"):
        moved_genesis(move.root / "new", open_mirror(str(move.old.data)))


def uncosigned(move: Move) -> None:
    """Somebody with the log key alone shows the old log, beside an operator that cosigns."""
    path = log_directory(move.old.data) / "checkpoint"
    note = parse_note(path.read_bytes())
    path.write_bytes(format_note(Note(note.text, note.signatures[:1])))


def test_a_log_that_the_old_operator_did_not_cosign_is_not_taken_over(move: Move) -> None:
    uncosigned(move)
    with pytest.raises(Untrusted, match="no-quorum"):
        moved_genesis(move.root / "new", open_mirror(str(move.old.data)))
    assert not (move.root / "new" / "log" / "checkpoint").exists()


def test_control_without_the_publishing_quorum_it_would_be(move: Move) -> None:
    uncosigned(move)
    with without(Defence.PUBLISHING_QUORUM), pytest.raises(Misconfigured, match="board-set"):
        moved_genesis(move.root / "new", open_mirror(str(move.old.data)))
    assert (move.root / "new" / "log" / "checkpoint").exists()


def test_a_board_that_was_given_to_others_without_validator_keys_says_what_is_left(
    move: Move,
) -> None:
    """No embedded engine of theirs could publish for several, and none of their keys is here."""
    member = make_member(move.root / "new" / "op0", "op0")
    stripped = PaperMember(replace(member.entry, validator_key=None), member.signers[:-1])
    engine = move.engine()
    published_before = engine.published().size
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"gave this board to op0, whose keys are not here"):
            engine.submit(move.give_to((stripped,))).result(60)
    assert engine.published().size == published_before
    engine.close()
