# SPDX-License-Identifier: Apache-2.0
"""What an operator does beside a running node, and how the domain of a maker is looked at."""

import struct
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.cli.board_access import Board
from fieldpost.cli.ceremony import decode_request, decode_signatures
from fieldpost.cli.dns_txt import encode_question, parse_answer
from fieldpost.cli.domain_proof import DNS, WEB, check_domain_proof
from fieldpost.cli.proven import ProvenBoard
from fieldpost.errors import Conflict, Malformed, Misconfigured, NotFound, Rejected, Untrusted
from fieldpost.posts.blob import decode_blob_gone
from fieldpost.records import map_keys
from fieldpost.records.counters import decode_attestation
from fieldpost.records.identifiers import origin_of
from tests.unit.cli.cli_world import CliWorld


def desk(world: CliWorld) -> tuple[str, ...]:
    return ("--data", str(world.data), "--board", world.url)


def value(world: CliWorld, key: bytes) -> bytes | None:
    board = Board(world.url)
    found = ProvenBoard(board, world.board, now=None).value(key)
    board.close()
    return found


# --- the board's record ---


def test_a_board_that_admits_endorsed_makers_takes_those_whom_an_operator_endorsed(
    world: CliWorld,
) -> None:
    changed = world.call("operator", "board-set", "--admission", "endorsed", *desk(world))
    assert changed["admission"] == "endorsed"
    elsewhere = ("--home", str(world.root / "other"))
    unsigned, endorsed = str(world.root / "e.unsigned"), str(world.root / "e.signatures")
    register = ("maker", "register", "--board", world.url, "--yes", *elsewhere)
    world.call("maker", "init", "--name", "Other", "--no-passphrase", *elsewhere)
    with pytest.raises(Misconfigured, match="operator of the board, who endorses you"):
        world.call(*register)

    world.call(*register, "--export-unsigned", unsigned)
    governance = str(world.data / "keys/governance.pem")
    world.call("maker", "sign", unsigned, "--key", governance, "--out", endorsed, "--yes")
    assert world.call("maker", "import", endorsed, *elsewhere)["kind"] == "maker.register"

    assert world.call(*register)["index"] is None
    assert world.call("maker", "show", *elsewhere)["name"] == "Other"


def test_limits_are_the_boards_own(world: CliWorld) -> None:
    changed = world.call(
        *("operator", "board-set", "--classes-per-maker", "1", "--epoch-s", "30"), *desk(world)
    )
    assert (changed["classes_per_maker"], changed["epoch_s"]) == (1, 30)
    with pytest.raises(Rejected, match="too-many-classes"):
        world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    with pytest.raises(Misconfigured, match="nothing would change"):
        world.call("operator", "board-set", "--epoch-s", "30", *desk(world))


def test_a_new_governance_key_acts_and_the_old_one_is_kept_apart(world: CliWorld) -> None:
    keys = world.data / "keys"
    before = (keys / "governance.pem").read_bytes()
    world.call("operator", "rotate-keys", "--key", "governance", *desk(world))
    assert (keys / "governance.pem").read_bytes() != before
    (old,) = (keys / "retired").iterdir()
    assert old.read_bytes() == before
    world.call("operator", "board-set", "--epoch-s", "30", *desk(world))
    assert world.check_in().belief.board_view().epoch == 2


def test_a_rotation_that_was_cut_off_after_the_post_is_settled_by_the_next_command(
    world: CliWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("fieldpost.cli.operator_desk.Desk.settle_after", lambda _: None)
        world.call("operator", "rotate-keys", "--key", "governance", *desk(world))
    assert (world.data / "keys/governance.next.pem").exists()
    world.call("operator", "board-set", "--epoch-s", "30", *desk(world))
    assert not (world.data / "keys/governance.next.pem").exists()


def test_a_board_of_one_operator_has_no_validator_key_to_replace(world: CliWorld) -> None:
    with pytest.raises(Misconfigured, match="no validators"):
        world.call("operator", "rotate-keys", "--key", "validator", *desk(world))
    assert not (world.data / "cometbft").exists()


def test_a_board_set_can_be_signed_elsewhere(world: CliWorld) -> None:
    unsigned, signatures = world.root / "b.unsigned", world.root / "b.signatures"
    change = ("operator", "board-set", "--epoch-s", "20")
    world.call(*change, "--export-unsigned", str(unsigned), *desk(world))
    signed = world.call(
        *("maker", "sign", str(unsigned), "--out", str(signatures), "--yes"),
        *("--key", str(world.data / "keys/governance.pem")),
    )
    assert signed["changes"] == ["epoch s: 60 -> 20"]
    assert world.call("operator", "import", str(signatures), *desk(world))["kind"] == "board.set"
    assert world.check_in().belief.board_view().epoch_s == 20


def test_a_closed_board_takes_nothing_more_and_says_where_to_go(world: CliWorld) -> None:
    world.publish("1.0")
    world.offer("1=100%")
    close = ("board", "close", "--successor", "board.example/2", "--yes")
    world.call(*close, *desk(world))
    with pytest.raises(Rejected, match="closed"):
        world.publish("1.1")
    assert world.check_in().belief.board_view().successor_origin == "board.example/2"
    assert "goes on at board.example/2" in world.text("board", "show", "--board", world.url)
    with pytest.raises(Conflict, match=r"board\.example/2"):
        world.call(*close, *desk(world))


def test_keys_of_another_board_are_refused(world: CliWorld) -> None:
    (world.data / "keys/governance.pem").unlink()
    (world.data / "keys/log.pem").rename(world.data / "keys/governance.pem")
    with pytest.raises(Misconfigured, match="of none of the operators"):
        world.call("operator", "board-set", "--epoch-s", "30", *desk(world))


# --- domains and blobs ---


def test_a_domain_is_attested_after_its_line_was_seen(
    world: CliWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = world.call("maker", "domain", "acme.example")["line"]
    maker = world.call("maker", "show")["maker"]
    said: list[str] = ["v=spf1 -all"]
    monkeypatch.setattr("fieldpost.cli.domain_proof.LOOKS", {WEB: lambda _: said})
    attest = ("operator", "attest", maker, "acme.example", *desk(world))
    with pytest.raises(Untrusted, match="does not say"):
        world.call(*attest)
    assert value(world, map_keys.domain("acme.example")) is None

    said.append(f"{line} ")
    world.call(*attest)

    given = decode_attestation(value(world, map_keys.domain_of_maker(bytes.fromhex(maker))) or b"")
    assert given is not None
    assert (given.domain, given.epoch) == ("acme.example", 0)
    shown = world.call("maker", "show")
    assert (shown["domain"], shown["domain_attested"]) == ("acme.example", given.time)

    world.call("maker", "rotate-keys", "--role", "root", "--no-passphrase")

    shown = world.call("maker", "show")
    assert (shown["domain"], shown["domain_lapsed"]) == ("unverified", "acme.example")


def test_the_line_changes_with_the_root_keys(world: CliWorld) -> None:
    before = world.call("maker", "domain", "acme.example")["line"]
    world.call("maker", "rotate-keys", "--role", "root", "--no-passphrase")
    assert world.call("maker", "domain", "acme.example")["line"] != before


@pytest.mark.parametrize("how", [DNS, WEB])
def test_where_nothing_stands_nothing_is_proven(how: str) -> None:
    def nothing(_: str) -> list[str]:
        raise NotFound("nothing")

    with pytest.raises(Untrusted, match=r"acme\.example"):
        check_domain_proof("acme.example", "line", how=how, looks={how: nothing})
    check_domain_proof("acme.example", "line", how=how, looks={how: lambda _: ["line"]})


def test_a_blob_that_is_gone_is_said_once(world: CliWorld) -> None:
    digest = sha256(b"image").digest()
    gone = ("operator", "blob-gone", digest.hex(), "--reason", "court order", *desk(world))
    world.call(*gone)
    name = world.board.partition("/")[0]
    said = value(world, map_keys.gone(name, digest))
    assert said is not None
    assert decode_blob_gone(said).reason == "court order"
    with pytest.raises(Conflict, match="said so already"):
        world.call(*gone)


# --- DNS ---


def answer_to(question: bytes, *texts: bytes, flags: int = 0x8180) -> bytes:
    header = question[:2] + struct.pack("!5H", flags, 1, len(texts), 0, 0)
    records = [
        b"\xc0\x0c" + struct.pack("!2HIH", 16, 1, 60, len(text) + 1) + bytes([len(text)]) + text
        for text in texts
    ]
    return header + question[12:] + b"".join(records)


def test_texts_of_a_name_are_read() -> None:
    question = encode_question("_fieldpost.acme.example", 7)
    assert parse_answer(answer_to(question, b"one", b"two"), question) == ["one", "two"]


def test_answers_of_strangers_are_no_answers() -> None:
    question = encode_question("_fieldpost.acme.example", 7)
    other = encode_question("_fieldpost.evil.example", 7)
    for answer in (
        answer_to(other, b"one"),
        answer_to(encode_question("_fieldpost.acme.example", 8), b"one"),
        answer_to(question, b"one", flags=0x0100),
        answer_to(question, b"one", flags=0x8182),
        answer_to(question, b"one")[:-20],
        b"",
    ):
        with pytest.raises(Malformed):
            parse_answer(answer, question)


def test_a_name_that_is_absent_is_not_found() -> None:
    question = encode_question("_fieldpost.acme.example", 7)
    for answer in (answer_to(question, flags=0x8183), answer_to(question)):
        with pytest.raises(NotFound):
            parse_answer(answer, question)


# --- operators who come ---


def test_a_new_operator_shows_every_key_that_the_board_is_to_take(world: CliWorld) -> None:
    origin = origin_of(world.board)
    new, unsigned, signed = (str(world.root / name) for name in ("new", "unsigned", "signed"))
    public = str(world.root / "oslo.operator")
    world.call(
        *("operator", "init", "oslo", "--origin", origin, "--url", "https://oslo.example"),
        *("--p2p-address", "oslo.example:26656", "--data", new, "--out", public),
    )
    change = ("operator", "board-set", "--operator", public, "--yes", *desk(world))
    with pytest.raises(Misconfigured, match="4 of 4 new keys"):
        world.call(*change)
    told = world.call(*change, "--export-unsigned", unsigned)
    assert told["still_needed"] == ["4 of 4 new keys"]
    assert len(told["operators"]) == 2
    assert "oslo" in told["operators"]

    answer = world.call("operator", "sign", unsigned, "--data", new, "--out", signed, "--yes")
    assert len(answer["keys"]) == 4
    request = decode_request(Path(unsigned).read_bytes())
    digest, signatures = decode_signatures(Path(signed).read_bytes())
    assert digest == request.digest
    assert {request.verify(one).kid for one in signatures} == {
        bytes.fromhex(kid) for kid in answer["keys"]
    }
    with pytest.raises(Misconfigured, match="needs no key"):
        world.call("operator", "sign", unsigned, "--data", str(world.home), "--out", signed)


def test_operators_of_another_board_and_operators_unknown_are_no_change(world: CliWorld) -> None:
    public = str(world.root / "oslo.operator")
    world.call(
        *("operator", "init", "oslo", "--origin", "other.example/1", "--url", "https://o.example"),
        *("--p2p-address", "o.example:1", "--data", str(world.root / "new"), "--out", public),
    )
    with pytest.raises(Misconfigured, match=r"for the board other\.example/1"):
        world.call("operator", "board-set", "--operator", public, "--yes", *desk(world))
    with pytest.raises(Misconfigured, match="no operator rome"):
        world.call("operator", "board-set", "--drop-operator", "rome", "--yes", *desk(world))
