# SPDX-License-Identifier: Apache-2.0
"""Every status of C2SP tlog-witness, from a real witness over HTTP."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.client.answers import Response
from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import fetch_cosigned
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.cosignature import cosign, cosigner_key, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import (
    COSIGNATURE_MLDSA44,
    Note,
    NoteSignature,
    format_note,
    format_vkey,
)
from fieldpost.tlog.policy import Group, Log, Policy, Witness, format_policy
from fieldpost.tlog.witness import (
    MAX_REQUEST_BYTES,
    Inconsistent,
    OtherSize,
    format_add_checkpoint,
    parse_add_checkpoint,
    parse_known_size,
)
from fieldpost.watch.witness.keys import load_keys, make_keys
from fieldpost.watch.witness.logs import KnownLog, parse_log_list
from fieldpost.watch.witness.sources import read_logs
from tests.unit.watch.witness_world import NOW, ServedWitness, ToyLog, served

EVERY = (400, 403, 404, 409, 422)


@pytest.fixture
def log() -> ToyLog:
    return ToyLog()


@pytest.fixture
def witness(tmp_path: Path, log: ToyLog) -> Iterator[ServedWitness]:
    with served(tmp_path, log.known()) as found:
        yield found


def send(http: HttpClient, body: bytes) -> Response:
    return http.send("POST", "/add-checkpoint", body, admit=EVERY)


def test_a_first_checkpoint_is_cosigned_and_verifies_under_the_vkeys(tmp_path: Path) -> None:
    log = ToyLog()
    with served(tmp_path, log.known(), post_quantum=True) as witness:
        lines = witness.ask(log, 0, 7)
        note = log.note(7, *lines)
        checkpoint, verified = open_checkpoint(note, witness.keys)
        assert checkpoint == log.checkpoint(7)
        assert [found.timestamp for found in verified] == [NOW, NOW]
        assert verified[1].key.type == COSIGNATURE_MLDSA44


def test_each_larger_size_needs_the_proof_from_the_last_one(
    witness: ServedWitness, log: ToyLog
) -> None:
    for old, size in ((0, 1), (1, 2), (2, 7), (7, 256), (256, 300)):
        assert len(witness.ask(log, old, size)) == 1


def test_an_empty_tree_is_cosigned_and_grows_without_a_proof(
    witness: ServedWitness, log: ToyLog
) -> None:
    assert witness.ask(log, 0, 0)
    assert witness.ask(log, 0, 5)


def test_the_same_size_again_yields_a_fresh_time(witness: ServedWitness, log: ToyLog) -> None:
    witness.ask(log, 0, 7)
    witness.clock[0] += 60
    note = log.note(7, *witness.ask(log, 7, 7))
    assert open_checkpoint(note, witness.keys)[1][0].timestamp == NOW + 60


def test_time_never_goes_back_and_a_strange_clock_stops_the_witness(
    witness: ServedWitness, log: ToyLog
) -> None:
    witness.ask(log, 0, 7)
    witness.clock[0] -= 300
    note = log.note(9, *witness.ask(log, 7, 9))
    assert open_checkpoint(note, witness.keys)[1][0].timestamp == NOW
    witness.clock[0] -= 600
    with pytest.raises(Unavailable, match="behind its last cosignature"):
        witness.ask(log, 9, 10)
    with pytest.raises(Unavailable, match="behind"):
        witness.open.service.check_ready()
    witness.clock[0] = NOW + 90_000
    with pytest.raises(Unavailable, match="jumped"):
        witness.ask(log, 9, 10)
    witness.clock[0] = NOW
    assert witness.ask(log, 9, 10)
    witness.open.service.check_ready()


def test_another_old_size_is_409_with_the_size_in_a_body_of_its_own_type(
    witness: ServedWitness, log: ToyLog
) -> None:
    witness.ask(log, 0, 7)
    for old, size in ((0, 7), (0, 9), (6, 9), (8, 9)):
        answer = send(witness.http, log.request(old, size))
        assert (answer.status, answer.content_type) == (409, "text/x.tlog.size")
        assert parse_known_size(answer.body) == 7
    with pytest.raises(OtherSize) as found:
        witness.ask(log, 3, 9)
    assert found.value.size == 7


def test_a_witness_that_saw_nothing_says_zero(witness: ServedWitness, log: ToyLog) -> None:
    with pytest.raises(OtherSize) as found:
        witness.ask(log, 3, 9)
    assert found.value.size == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"",
        lambda body: b"new" + body[3:],
        lambda body: body.replace(b"old 0", b"old 00"),
        lambda body: body.replace(b"old 0", b"old -1"),
        lambda body: body.replace(b"old 0\n", b"old 0\nAAAA\n"),
        lambda body: body.replace(b"\n\n", b"\n", 1),
        lambda body: body.replace(b"\n7\n", b"\n07\n"),
        lambda body: body[:-2],
        lambda body: body + b"\xff",
        lambda body: b"old 0\n" + 64 * (b"A" * 43 + b"=\n") + body[6:],
    ],
)
def test_what_does_not_parse_is_400(witness: ServedWitness, log: ToyLog, damage) -> None:  # type: ignore[no-untyped-def]
    assert send(witness.http, damage(log.request(0, 7))).status == 400
    assert witness.ask(log, 0, 7)


def test_an_old_size_beyond_the_checkpoint_is_400(witness: ServedWitness, log: ToyLog) -> None:
    assert send(witness.http, format_add_checkpoint(8, (), log.note(7))).status == 400


def test_an_unknown_origin_is_404(witness: ServedWitness) -> None:
    with pytest.raises(NotFound):
        witness.ask(ToyLog("other.test/1"), 0, 7)


def test_a_note_without_a_trusted_signature_is_403(witness: ServedWitness, log: ToyLog) -> None:
    stranger = ToyLog(log.origin, "stranger")
    with pytest.raises(Untrusted, match="refused"):
        witness.ask(stranger, 0, 7)
    signed = log.note(7).replace(b"\n7\n", b"\n8\n")
    assert send(witness.http, format_add_checkpoint(0, (), signed)).status == 403
    with pytest.raises(NotFound):
        fetch_cosigned(witness.http, log.origin)


@pytest.mark.parametrize(
    ("old", "size", "change"),
    [
        (7, 9, lambda proof: proof[:-1]),
        (7, 9, lambda proof: (*proof, leaf_hash(b""))),
        (7, 9, lambda proof: (leaf_hash(b""), *proof[1:])),
        (7, 9, lambda proof: ()),
        (7, 7, lambda proof: (leaf_hash(b""),)),
    ],
)
def test_a_proof_that_proves_nothing_is_422(  # type: ignore[no-untyped-def]
    witness: ServedWitness, log: ToyLog, old: int, size: int, change
) -> None:
    witness.ask(log, 0, 7)
    body = format_add_checkpoint(old, change(log.proof(old, size)), log.note(size))
    assert send(witness.http, body).status == 422
    assert witness.ask(log, 7, 9)


def test_a_proof_from_nothing_is_422(witness: ServedWitness, log: ToyLog) -> None:
    body = format_add_checkpoint(0, (leaf_hash(b""),), log.note(7))
    assert send(witness.http, body).status == 422


def test_another_root_of_an_empty_tree_is_422(witness: ServedWitness, log: ToyLog) -> None:
    signer = log.signers[0]
    text = f"{log.origin}\n0\n" + "A" * 43 + "=\n"
    line = NoteSignature(log.origin, log.keys()[0].key_id, signer.sign(text.encode()))
    body = format_add_checkpoint(0, (), format_note(Note(text, (line,))))
    assert send(witness.http, body).status == 422


def test_another_root_of_the_same_size_is_422_and_kept_as_evidence(
    witness: ServedWitness, log: ToyLog, tmp_path: Path
) -> None:
    witness.ask(log, 0, 7)
    fork = ToyLog(log.origin, entries="forged")
    for _ in range(2):
        with pytest.raises(Inconsistent):
            witness.ask(fork, 7, 7)
    here, there = sorted((tmp_path / "evidence").iterdir())
    heads = [open_checkpoint(path.read_bytes(), log.keys())[0] for path in (here, there)]
    assert heads == [log.checkpoint(7), fork.checkpoint(7)]


def test_any_of_several_keys_of_an_origin_may_sign(tmp_path: Path) -> None:
    both = ToyLog("log.test/1", "first", "second")
    second = ToyLog("log.test/1", "second")
    with served(tmp_path, both.known()) as witness:
        assert witness.ask(both, 0, 3)
        assert witness.ask(second, 3, 7)


def test_monitors_read_the_newest_cosigned_checkpoint(witness: ServedWitness, log: ToyLog) -> None:
    witness.ask(log, 0, 7)
    witness.ask(log, 7, 9)
    note = fetch_cosigned(witness.http, log.origin)
    checkpoint, verified = open_checkpoint(note, (*log.keys(), *witness.keys))
    assert checkpoint == log.checkpoint(9)
    assert [found.key for found in verified] == [*log.keys(), *witness.keys]
    with pytest.raises(NotFound):
        witness.http.fetch(f"/{sha256(b'other').hexdigest()}/checkpoint")


def test_a_request_over_the_limit_is_refused_unread(witness: ServedWitness, log: ToyLog) -> None:
    with pytest.raises((Malformed, Unavailable)):
        witness.http.send("POST", "/add-checkpoint", b"old 0\n\n" + b"x" * 400_000)
    assert witness.ask(log, 0, 7)


def test_a_request_over_the_limit_is_not_taken_apart() -> None:
    longest = b"old 0\n\n".ljust(MAX_REQUEST_BYTES, b"x")
    assert parse_add_checkpoint(longest).old_size == 0
    with pytest.raises(Malformed, match="more than"):
        parse_add_checkpoint(longest + b"x")


def test_a_quorum_of_the_policy_file_is_demanded_before_cosigning(tmp_path: Path) -> None:
    log = ToyLog()
    signer = DeterministicSigner(Algorithm.ED25519, "other")
    other = cosigner_key("other.test/1", signer.public_key)
    policy = Policy(
        logs=(Log(log.keys()[0]),),
        witnesses=(Witness("other", other),),
        groups=(Group("all", 1, ("other",)),),
        quorum="all",
    )
    path = tmp_path / "logs.policy"
    path.write_bytes(format_policy(policy))
    (known,) = read_logs((), (path,), ()).values()
    with served(tmp_path / "data", known) as witness:
        with pytest.raises(Untrusted, match="quorum"):
            witness.ask(log, 0, 7)
        cosignature = cosign(log.checkpoint(7), name="other.test/1", signer=signer, timestamp=NOW)
        line = format_cosignature(cosignature, name="other.test/1")
        body = format_add_checkpoint(0, (), log.note(7, line))
        assert send(witness.http, body).status == 200


def test_logs_come_from_vkeys_policies_and_lists(tmp_path: Path) -> None:
    logs = [ToyLog(f"log.test/{n}", str(n)) for n in range(3)]
    vkeys = [format_vkey(log.keys()[0]) for log in logs]
    policy = tmp_path / "a.policy"
    policy.write_text(f"log {vkeys[1]} https://log.test\nquorum none\n")
    listed = tmp_path / "list"
    listed.write_text(
        f"# of the network\nlogs/v0\n\nvkey {vkeys[2]}\norigin else.test\nqpd 24\ncontact x y\n"
    )
    found = read_logs((vkeys[0],), (policy,), (listed,))
    assert {origin: log.url for origin, log in found.items()} == {
        "log.test/0": None,
        "log.test/1": "https://log.test",
        "else.test": None,
    }
    for wrong in ("vkey x\n", "logs/v0\norigin a\n", f"logs/v0\nvkey {vkeys[0]}\nqpd many\n"):
        with pytest.raises(Malformed):
            parse_log_list(wrong.encode())


def test_a_witness_without_logs_or_with_foreign_keys_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="witness init"):
        load_keys(tmp_path)
    cosigner = make_keys(tmp_path, "a.test/1", post_quantum=False).vkeys()[0]
    with pytest.raises(Misconfigured, match="cosigner"):
        read_logs((format_vkey(cosigner),), (), ())


def test_the_origin_of_a_list_may_differ_from_the_keys_name(tmp_path: Path) -> None:
    log = ToyLog("log.test/1")
    renamed = KnownLog("else.test", log.keys())
    with served(tmp_path, renamed) as witness, pytest.raises(NotFound):
        witness.ask(log, 0, 7)
