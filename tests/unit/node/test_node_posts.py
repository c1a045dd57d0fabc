# SPDX-License-Identifier: Apache-2.0
"""Posts over HTTP: receipts that verify, refusals that say why, and the same bytes twice."""

from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.client.publisher import Accepted, fetch_receipt, submit_post, submit_posts
from fieldpost.errors import Malformed, Misconfigured, NotFound, Rejected
from fieldpost.tlog.note import parse_vkey
from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import Group, Log, Policy, Witness
from tests.unit.node.running_node import Running, running, with_class


def policy(node: Running) -> Policy:
    """Believe the board's one operator: its log key and its cosignature."""
    match node.http.send("GET", "/v1/board").json():
        case {"operators": [{"log_key": str(log), "cosigner_keys": [str(key), *_]}]}:
            return Policy(
                logs=(Log(parse_vkey(log)),),
                witnesses=(Witness("operator", parse_vkey(key)),),
                groups=(Group("quorum", 1, ("operator",)),),
                quorum="quorum",
            )
    raise AssertionError("the board view lacks its operator")


def test_a_receipt_proves_that_the_post_is_in_the_log(node: Running) -> None:
    entry = node.world().maker.registration()
    accepted = submit_post(node.http, entry)
    checkpoint = verify_offline_proof(
        entry, parse_offline_proof(accepted.receipt), policy(node), origin=node.log()._origin
    )
    assert checkpoint.size >= accepted.size > accepted.index
    assert node.entries()[accepted.index] == entry


def test_a_receipt_can_be_fetched_later(node: Running) -> None:
    world = node.world()
    entry = world.maker.registration()
    node.post(world, entry)
    node.post(world, world.maker.class_set())
    proof = parse_offline_proof(fetch_receipt(node.http, entry))
    verify_offline_proof(entry, proof, policy(node))
    with pytest.raises(NotFound):
        fetch_receipt(node.http, b"never posted")


def test_the_same_bytes_again_give_the_same_place(node: Running) -> None:
    entry = node.world().maker.registration()
    first, second = submit_post(node.http, entry), submit_post(node.http, entry)
    assert (first.index, first.size) == (second.index, second.size)
    assert node.entries().count(entry) == 1


def test_a_post_that_the_rules_refuse_comes_back_with_its_code(node: Running) -> None:
    world = with_class(node)
    stale = world.maker.release_publish(10, nonce=7)
    before = node.entries()
    with pytest.raises(Rejected) as refused:
        submit_post(node.http, stale)
    assert refused.value.code > 1
    assert refused.value.name
    assert node.entries() == before


@pytest.mark.parametrize("body", [b"", b"\x00", b"\xd2\x84", b"x" * 70_000])
def test_bytes_that_are_no_post_are_refused(node: Running, body: bytes) -> None:
    with pytest.raises((Malformed, Rejected)):
        submit_post(node.http, body)


def test_a_sequence_has_a_result_for_each_post(node: Running) -> None:
    world = with_class(node)
    good = world.maker.release_publish(10)
    bad = world.maker.release_publish(11, nonce=99)
    results = submit_posts(node.http, [good, bad])
    assert isinstance(results[0], Accepted)
    assert isinstance(results[1], Rejected)
    assert good in node.entries()
    assert bad not in node.entries()


def test_a_sequence_of_more_than_a_hundred_posts_is_refused(node: Running) -> None:
    with pytest.raises(Malformed):
        node.http.send("POST", "/v1/posts", b"\x00" * 101, content_type="application/cbor-seq")


@pytest.mark.parametrize("kind", ["application/json", "text/html", None])
def test_another_content_type_is_refused(node: Running, kind: str | None) -> None:
    with pytest.raises(Malformed, match="content type"):
        node.http.send("POST", "/v1/posts", b"\x00", content_type=kind)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        entry = node.world().maker.registration()
        first = submit_post(node.http, entry)
        board = node.board
    with running(tmp_path) as node:
        assert node.board == board
        assert node.entries()[first.index] == entry
        again = submit_post(node.http, entry)
        assert (again.index, again.size) == (first.index, first.size)


def test_another_origin_than_the_board_has_is_a_setting_to_fix(tmp_path: Path) -> None:
    with running(tmp_path, origin="board.example/1") as node:
        assert node.board.startswith("board.example/1#")
    with (
        pytest.raises(Misconfigured, match="--origin"),
        running(tmp_path, origin="other.example/1"),
    ):
        pass
    with running(tmp_path, origin="board.example/1"):
        pass


def test_a_digest_is_not_an_entry(node: Running) -> None:
    path = f"/v1/receipts/{sha256(b'').hexdigest()}"
    with pytest.raises(NotFound):
        node.http.fetch(path)
