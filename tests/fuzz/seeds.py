# SPDX-License-Identifier: Apache-2.0
"""Real artefacts by family: what vectors/ holds, and what boards and devices of tests write."""

import json
from dataclasses import replace
from functools import cache
from typing import Any, Final

from fieldpost import cbor
from fieldpost.agent.config import DEFAULT
from fieldpost.agent.memory import Failed, Memory, Staged
from fieldpost.agent.slots.base import Image
from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.offline_bundle import OfflineBundle, encode_offline_bundle
from fieldpost.cli.ceremony import Needed, encode_signatures, request_of
from fieldpost.cli.dns_txt import encode_question
from fieldpost.cli.operator_file import OperatorFile
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.identity.challenge import sign_challenge
from fieldpost.keys import Algorithm
from fieldpost.ledger.reading import read_board
from fieldpost.posts.envelope import decode_post
from fieldpost.posts.permit import Permit, sign_permit
from fieldpost.records.counters import Attestation, DailyCount, DomainHolder
from fieldpost.records.maker import Role
from fieldpost.records.state_proof import StateProof
from fieldpost.signers.pkcs8 import format_private_key
from fieldpost.signers.software import SoftwareSigner
from fieldpost.testing import maker_posts
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_posts import chain_registration
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_vkey
from fieldpost.tlog.offline import OfflineProof, format_offline_proof
from fieldpost.tlog.policy import Group, Log, Policy, Witness, format_policy
from fieldpost.tlog.tiles import encode_entry_bundle, encode_tile
from fieldpost.tlog.witness import format_add_checkpoint
from tests.conftest import REPOSITORY
from tests.fuzz import cluster_seeds
from tests.fuzz.monitor_seeds import MONITOR_FAMILIES

DEVICE: Final = DeterministicSigner(Algorithm.ED25519, "device 0")
CHALLENGE: Final = b"\x07" * 32
NOW: Final = 1_800_000_000
Seeds = tuple[bytes, ...]


@cache
def world() -> BoardWorld:
    """A board with a maker, a class, a lot, two releases and a rollout."""
    made = BoardWorld.with_releases(10, 11, operators=4, witnesses=1)
    made.accept(made.maker.rollout_set(made.maker.offer(11, 2**30), made.maker.offer(10)))
    return made


@cache
def paper() -> PaperBoard:
    """A board whose devices have something to install."""
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


@cache
def vectors(name: str) -> Any:
    """One file of vectors/."""
    return json.loads((REPOSITORY / "vectors" / f"{name}.json").read_text())


@cache
def seeds(family: str) -> Seeds:
    """The artefacts of a family, at least one."""
    found = tuple(dict.fromkeys(_FAMILIES[family]()))
    assert found, family
    return found


@cache
def everything() -> Seeds:
    """All of them, to take pieces from."""
    return tuple(dict.fromkeys(seed for family in _FAMILIES for seed in seeds(family)))


def operator_file() -> OperatorFile:
    """What the first operator of the world's board would tell the others."""
    record = read_board(world().state.map)
    operator = replace(record.operators[0], validator_key=b"\x07" * 32)
    return OperatorFile(operator, record.origin, f"{'0a' * 20}@board.example:26656")


def comet_genesis() -> Genesis:
    """What the operators of the paper board would begin a CometBFT with."""
    validators = tuple(Validator(f"operator-{n}", bytes([n]) * 32) for n in range(4))
    return Genesis(
        board="board.example/1+00",
        time=NOW,
        size=2,
        root=bytes(32),
        genesis_post=b"post",
        validators=validators,
    )


def _hexes(rows: list[dict[str, Any]], member: str = "hex") -> list[bytes]:
    return [bytes.fromhex(row[member]) for row in rows if row[member] is not None]


def _records(name: str) -> list[bytes]:
    return _hexes([row for row in vectors("records")["records"] if row["record"] == name])


def _payloads(kind: str) -> list[bytes]:
    return _hexes([row for row in vectors("posts")["payloads"] if row["kind"] == kind])


def _posts() -> list[bytes]:
    return [*_hexes(vectors("posts")["posts"]), *_hexes(vectors("posts")["malformed"])]


def _live_posts() -> list[bytes]:
    """Posts that the board of `world` accepts next, a chain of links from another board too."""
    maker, old = world().maker, BoardWorld(origin="old.test/1")
    links = [old.maker.registration()]
    old.accept(*links)
    links.append(maker_posts.maker_set(old.maker, policy=maker.record().policy))
    old.accept(links[-1])
    guest = chain_registration(maker, links, maker_posts.record_of(old.maker))
    return [
        guest,
        maker.class_set("second"),
        maker.release_publish(12),
        maker.rollout_set(maker.offer(11, 2**31)),
        maker.lot_enrol(name="tracker", root=b"\x22" * 32),
        maker_posts.maker_set(maker, contact="security@acme.example"),
        maker_posts.release_floor(maker, 10),
        maker_posts.release_withdraw(maker, 10),
        maker_posts.release_sign(maker, 10, maker.quorum(Role.RELEASE)),
        maker_posts.advisory_publish(maker),
        maker_posts.device_status(maker, (3, 2)),
        maker_posts.fleet_summary(maker, 1, 2),
    ]


def _bundles() -> list[bytes]:
    return [*_hexes(vectors("check-in")["cases"], "bundle"), paper().bundle()]


def _provisioning() -> list[bytes]:
    return [bytes.fromhex(vectors("check-in")["provisioning"]["entry"]), paper().provisioning()]


@cache
def belief() -> Belief:
    """What a device of the paper board is provisioned with."""
    return believe(paper().provisioning())[0]


def _memory() -> list[bytes]:
    staged = Staged(
        sequence=11,
        version="1.1",
        manifest=b"\x01" * 32,
        images=(Image(digest=b"\x02" * 32, size=100),),
        change_count=2,
        offline=False,
    )
    whole = Memory(belief=belief(), running=10, staged=staged, failed=(Failed(b"\x03" * 32, 1, 2),))
    return [Memory(belief=belief(), running=0).encode(), whole.encode()]


def _offline() -> list[bytes]:
    board = paper()
    bundle = OfflineBundle(
        check_in=board.bundle(),
        board_links=tuple(board.board_chain),
        maker_links=tuple(board.maker_chain),
        envelope=board.envelope(11).encode(),
        release_proof=None,
    )
    return [b"".join(encode_offline_bundle(bundle, [(5, [b"image"]), (0, [])]))]


def _ceremony() -> tuple[bytes, bytes]:
    post = decode_post(paper().maker_chain[0])
    keys = tuple(signer.public_key for signer in paper().keys.root)
    request = request_of(post.statement, [Needed("root keys", 2, keys)], previous=b"\x01" * 32)
    signatures = [request.sign(signer) for signer in paper().keys.root]
    return request.encode(), encode_signatures(request.digest, signatures)


def _notes() -> list[bytes]:
    return [row["note"].encode() for row in vectors("log")["checkpoints"]]


def _policies() -> list[bytes]:
    keys = [parse_vkey(row["vkey"]) for row in vectors("log")["vkeys"]]
    operators = [parse_vkey(row["vkey"]) for row in vectors("log")["cosignatures"][:2]]
    witnesses = tuple(
        Witness(f"w{number}", key, f"https://w{number}.example/")
        for number, key in enumerate(dict.fromkeys(operators))
    )
    names = tuple(witness.name for witness in witnesses)
    logs = (Log(keys[0], "https://board.example/"),)
    groups = (Group("all", len(names), names),)
    return [format_policy(Policy(logs=logs, witnesses=witnesses, groups=groups, quorum="all"))]


def _proofs() -> list[bytes]:
    note = _notes()[0]
    path = tuple(leaf_hash(bytes([n])) for n in range(3))
    proof = OfflineProof(index=0, path=path, checkpoint_note=note)
    return [format_offline_proof(proof)]


def _keyfiles() -> list[bytes]:
    der = SoftwareSigner.from_private_bytes(Algorithm.ED25519, b"\x05" * 32).to_pkcs8()
    # Sealed ones begin with a key derivation on purpose slow: two are enough to change.
    return [format_private_key(der, None)]


def _tables() -> list[bytes]:
    raw = DEVICE.public_key.raw.hex()
    return [
        f"serial,key,scrap\nSN1,{raw},\nSN2,{raw},x\n".encode(),
        f'key,serial\n"{raw}","SN ""3"""\n'.encode(),
    ]


def _answers() -> list[bytes]:
    question = encode_question("board.example", 7)
    text = b"fieldpost=00112233"
    record = b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c" + bytes([0, len(text) + 1, len(text)])
    return [question[:2] + b"\x81\x80\x00\x01\x00\x01" + question[8:] + record + text]


def _json() -> list[bytes]:
    values: list[object] = [
        {"digest": "ab", "image": "cd", "size": 3, "encoding": "none", "stored": True},
        {"battery_percent": 50, "external": True},
        {"type": "/problems/rejected", "title": "t", "status": 422, "code": 7, "name": "x"},
        {
            "sequence": 1,
            "version": "1",
            "kind": "feature",
            "manifest": "ab",
            "withdrawn": None,
            "manifest_stored": True,
            "artifacts": [],
        },
        {
            "board": "b#00",
            "origin": "b",
            "solo": True,
            "trial": True,
            "epoch": 0,
            "size": 3,
            "link": "ab",
            "operators": [{"name": "o", "log_key": "k"}],
            "time": 1,
        },
        {
            "releases": {"1": {"confirmed": 1, "failed": 0, "reverted": 0, "running": 1}},
            "stale": 0,
            "never_seen": 2,
            "clone_suspected": 0,
            "devices": 3,
        },
        {
            "name": "tracker",
            "channels": {
                "stable": {
                    "interval_s": 60,
                    "change_count": 1,
                    "offers": [{"sequence": 1, "threshold": 5}],
                }
            },
        },
    ]
    return [json.dumps(value).encode() for value in values]


_FAMILIES: Final[dict[str, Any]] = {
    "operator file": lambda: [operator_file().encode()],
    "genesis": lambda: [comet_genesis().encode()],
    "cbor": lambda: _hexes(vectors("cbor")["good"]) + _hexes(vectors("cbor")["bad"]),
    "post": _posts,
    "live post": _live_posts,
    "permit": lambda: [
        sign_permit(
            Permit(digest=b"\x01" * 32, size=9, not_after=NOW),
            maker=b"\x02" * 16,
            board="b.test/1#00",
            signer=DEVICE,
        )
    ],
    "witness request": lambda: [
        format_add_checkpoint(size, tuple(leaf_hash(bytes([n])) for n in range(size)), note)
        for size, note in enumerate(_notes())
    ],
    "witness size": lambda: [b"0\n", b"20852163\n"],
    "state proof": lambda: [
        StateProof(world().entries[-1], edge).encode() for edge in (world().edge(), ())
    ],
    "log list": lambda: [
        b"logs/v0\n# a\nvkey %b\norigin none\nqpd 24\ncontact a b\n" % seeds("vkey")[0]
    ],
    "bundle": _bundles,
    "provisioning": _provisioning,
    "belief": lambda: [belief().encode()],
    "memory": _memory,
    **(MONITOR_FAMILIES | cluster_seeds.FAMILIES),
    "evidence": lambda: _hexes(vectors("evidence")["files"] + vectors("going-back")["files"]),
    "state evidence": lambda: _hexes(vectors("state-evidence")["files"]),
    "offline": _offline,
    "ceremony request": lambda: [_ceremony()[0]],
    "ceremony signatures": lambda: [_ceremony()[1]],
    "board": lambda: _records("board"),
    "maker": lambda: _records("maker"),
    "class": lambda: _records("class"),
    "release": lambda: _records("release"),
    "lot": lambda: _records("lot"),
    "head": lambda: _records("head"),
    "provisioning record": lambda: _records("provisioning"),
    **{
        kind: (lambda kind=kind: _payloads(kind))
        for kind in (
            "advisory.publish",
            "blob.gone",
            "device.status",
            "fleet.summary",
            "maker.attest",
            "release.floor",
            "release.sign",
            "release.withdraw",
            "rollout.set",
        )
    },
    "state leaf": lambda: _hexes(vectors("log")["state_leaves"]),
    "link": lambda: [cbor.encode([3, b"\x01" * 32])],
    "class counters": lambda: [cbor.encode({1: 3, 2: 1, 3: 100})],
    "release counters": lambda: [cbor.encode({1: b"12345678", 2: {"stable": 9}, 3: "why"})],
    "daily count": lambda: [DailyCount(20_000, 3, 400).encode()],
    "domain": lambda: [
        DomainHolder(b"\x01" * 16, 2).encode(),
        Attestation("acme.example", 2, 1_800_000_000).encode(),
        cbor.encode([]),
    ],
    "envelope": lambda: _hexes(vectors("manifests")["cases"], "envelope"),
    "manifest": lambda: [bytes.fromhex(vectors("manifests")["manifest"])],
    "key": lambda: (
        _hexes(vectors("keys")["keys"], "cose_key") + _hexes(vectors("keys")["bad_keys"])
    ),
    "leaf": lambda: _hexes(vectors("identity")["devices"], "leaf"),
    "leaves": lambda: [cbor.encode(_hexes(vectors("identity")["devices"], "leaf"))],
    "links": lambda: [cbor.encode(paper().maker_chain), cbor.encode(paper().board_chain)],
    "claim": lambda: [cbor.encode([b"\x01" * 16, 0, 7, seeds("leaf")[0], [b"\x02" * 32] * 3])],
    "signature": lambda: [bytes.fromhex(row["signature"]) for row in vectors("keys")["signatures"]],
    "enrolment": lambda: _hexes(vectors("identity")["enrolments"]),
    "report": lambda: _hexes(vectors("identity")["reports"]),
    "images": lambda: [cbor.encode([[[b"app"], b"\x01" * 32, 5]])],
    "facts": lambda: [cbor.encode([3, "1.0", [[[b"app"], b"\x01" * 32, 5]]])],
    "status": lambda: _hexes(vectors("identity")["statuses"], "page"),
    "challenge": lambda: [sign_challenge(CHALLENGE, board="board.example/1#00", signer=DEVICE)],
    "map path": lambda: _hexes(vectors("state-map")["proofs"], "path"),
    "note": _notes,
    "checkpoint": lambda: [row["checkpoint"].encode() for row in vectors("log")["cosignatures"]],
    "vkey": lambda: [row["vkey"].encode() for row in vectors("log")["vkeys"]],
    "policy": _policies,
    "proof": _proofs,
    "tile": lambda: [encode_tile([leaf_hash(bytes([n])) for n in range(5)])],
    "entry bundle": lambda: [encode_entry_bundle([b"", b"entry", *world().entries[:2]])],
    "tile path": lambda: [
        row[member].encode()
        for row in vectors("log")["tiles"]
        for member in ("tile", "entries")
        if row[member]
    ],
    "key file": _keyfiles,
    "table": _tables,
    "dns": _answers,
    "json": _json,
    "agent.toml": lambda: [DEFAULT.format(channel="stable").encode(), b'urls = ["http://a"]\n'],
    "words": lambda: [
        b"25%",
        b"11=25%",
        b"3-7",
        b"2/3",
        b"bytes=0-99",
        b"bytes=-5",
        b"127.0.0.1:8470",
        b"[::1]:8470",
        b"http://board.example:80/x?y",
        b"120",
        b"boot/0x01",
        b"pkcs11:token=board;object=cosigner?pin-source=file:/x",
        b"Wed, 21 Oct 2026 07:28:00 GMT",
    ],
}
