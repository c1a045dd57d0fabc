# SPDX-License-Identifier: Apache-2.0
"""A maker's chain of links: gathered from anywhere, and never longer than one entry takes."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.cli.board_access import Board
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.own_chain import OwnChain, gather_chain, keep_link
from fieldpost.errors import Misconfigured, NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.ledger.maker_chain import ChainLink
from fieldpost.posts.envelope import Statement, decode_post, sign_post
from fieldpost.records.limits import MAX_ENTRY_BYTES
from fieldpost.records.maker import KeySet, MakerRecord, RoleKey, decode_maker_record
from fieldpost.records.policy import DevicePolicy
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld

BOARD = "board.test/1#" + "a" * 32
ROOTS = [DeterministicSigner(Algorithm.ED25519, f"root {n}") for n in range(3)]
MAKER = bytes(16)


def chain(links: int, *, link_bytes: int = 900) -> OwnChain:
    record = MakerRecord(
        epoch=links - 1,
        previous=None if links == 1 else bytes(32),
        name="acme",
        root=KeySet(2, tuple(RoleKey(signer.public_key) for signer in ROOTS)),
        policy=DevicePolicy(
            board=BOARD, urls=("http://b",), board_epoch=0, board_link=bytes(32), least_size=1
        ),
    )
    step = ChainLink(record=record, digest=bytes(32), board=BOARD)
    return OwnChain((bytes(link_bytes),) * links, (step,) * links)


def test_the_length_is_known_before_anything_is_signed() -> None:
    for links in (1, 3, 60):
        made = chain(links)
        entry = sign_post(made.registration(MAKER, BOARD), ROOTS[:2]).encode()
        assert made.entry_bytes(MAKER, BOARD) == len(entry)


def test_a_chain_that_no_entry_holds_is_refused_with_what_is_left_to_do() -> None:
    chain(69).check_fits(MAKER, BOARD, endorsed=True)
    with pytest.raises(Misconfigured, match=f"at most {MAX_ENTRY_BYTES}: this maker cannot move"):
        chain(73).check_fits(MAKER, BOARD, endorsed=False)
    with pytest.raises(Misconfigured, match="cannot move"):
        chain(69).check_fits(MAKER, BOARD, endorsed=False, more_bytes=4_000)


def home(world: CliWorld) -> MakerHome:
    return MakerHome(world.home, lambda: b"")


def test_links_come_from_the_home_or_from_a_board(world: CliWorld) -> None:
    world.call("maker", "set-policy", "--contact", "one")
    here = gather_chain(home(world), [])
    assert here is not None
    assert [step.record.epoch for step in here.steps] == [0, 1]
    for path in (world.home / "sent").glob("*maker*.cose"):
        path.unlink()
    assert gather_chain(home(world), []) is None
    board = Board(world.url)
    assert gather_chain(home(world), [board]) == here
    board.close()


def test_a_link_in_the_middle_that_nobody_has_is_named(world: CliWorld) -> None:
    for contact in ("one", "two"):
        world.call("maker", "set-policy", "--contact", contact)
    (middle,) = (p for p in (world.home / "sent").glob("*maker.set.cose") if _epoch(p) == 1)
    middle.unlink()
    with pytest.raises(NotFound, match="link of epoch 1"):
        gather_chain(home(world), [])


def test_a_link_that_the_root_did_not_sign_is_no_link(world: CliWorld) -> None:
    """Whoever can write into the folder, or runs the node, cannot make the maker sign it."""
    maker = home(world)
    own = gather_chain(maker, [])
    assert own is not None
    forged = replace(own.record, epoch=1, previous=own.link.digest, contact="a thief")
    statement = Statement(
        kind="maker.set",
        issuer=maker.settings().maker,
        subject=maker.settings().maker,
        audience=world.board,
        payload=forged.encode(),
    )
    keep_link(maker, sign_post(statement, ROOTS[:2]))
    with pytest.raises(Untrusted, match="does not hold"):
        gather_chain(maker, [])


def test_the_links_file_begins_where_it_is_told(world: CliWorld, tmp_path: Path) -> None:
    from fieldpost.agent.leaving import read_links

    world.call("maker", "set-policy", "--contact", "one")
    out = tmp_path / "links"
    told = world.call("maker", "links", "--out", str(out))
    assert len(told["links"]) == len(read_links(out.read_bytes())) == 2
    assert told["moving_takes_bytes"] < told["most_bytes"]
    world.call("maker", "links", "--out", str(out), "--since", "0")
    (only,) = read_links(out.read_bytes())
    assert sha256(only).hexdigest() in told["links"][1]


def _epoch(path: Path) -> int:
    return decode_maker_record(decode_post(path.read_bytes()).statement.payload).epoch
