# SPDX-License-Identifier: Apache-2.0
"""The boards that the vectors are cut out of, made once."""

from dataclasses import replace
from functools import cache
from hashlib import sha256

from fieldpost.checkin.build import build_bundle
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.identifiers import maker_id
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.cosignature import Cosignature

ORIGIN = "board.example/1"


@cache
def board() -> BoardWorld:
    """Four operators and a witness; releases 10 and 11, the newer one for a quarter."""
    world = BoardWorld.with_releases(10, 11, origin=ORIGIN, operators=4, witnesses=1)
    world.accept(world.maker.rollout_set(world.maker.offer(11, 2**30), world.maker.offer(10)))
    return world


def class_id(world: BoardWorld) -> bytes:
    """The one class."""
    return world.maker.class_id("tracker")


def head_key(world: BoardWorld) -> bytes:
    """The map key of its channel `stable`."""
    return map_keys.head(class_id(world), "stable")


def link_entry(world: BoardWorld, kind: str) -> bytes:
    """The entry of a link that the world posted."""
    mark = f"application/vnd.fieldpost.{kind}+cbor".encode()
    return next(entry for entry in world.entries if mark in entry)


def provisioning_entry(world: BoardWorld) -> bytes:
    """What a device of the class is provisioned with, signed by two of three root keys."""
    device_class = decode_class_record(_value(world, map_keys.device_class(class_id(world))))
    record = ProvisioningRecord(
        board=world.board,
        urls=("http://board.example",),
        board_record=_value(world, map_keys.board()),
        board_link=sha256(world.genesis).digest(),
        maker=world.maker.id,
        maker_record=_value(world, map_keys.maker(world.maker.id)),
        maker_link=sha256(link_entry(world, "maker.register")).digest(),
        class_id=class_id(world),
        channels=("stable",),
        least_interval_s=device_class.least_interval_s,
        most_interval_s=device_class.most_interval_s,
        least_size=0,
        least_time=1_700_000_000,
        limits=device_class.limits,
    )
    return world.maker.post(
        "provisioning", record.class_id.hex(), record.encode(), world.maker.quorum(Role.ROOT)
    )


def bundle(
    world: BoardWorld,
    key: bytes | None = None,
    *,
    cosignatures: tuple[Cosignature, ...] | None = None,
    timestamp: int | None = None,
) -> bytes:
    """The bundle of a map key (None: the head) at the end of the world's log."""
    signed = world.cosignatures(timestamp=timestamp) if cosignatures is None else cosignatures
    return build_bundle(
        map=world.state.map,
        key=head_key(world) if key is None else key,
        state_leaf=world.entries[-1],
        edge=world.edge(),
        cosignatures=signed,
    )


def _value(world: BoardWorld, key: bytes) -> bytes:
    value = world.value(key)
    assert value is not None
    return value


# --- links that later rules will post, and that devices already follow ---


def board_link(world: BoardWorld, *, signers: int = 3, **changes: object) -> bytes:
    """A `board.set` after genesis, signed by the first `signers` operators."""
    old: BoardRecord = decode_board_record(_value(world, map_keys.board()))
    record = replace(
        old,
        **{"epoch": 1, "previous": sha256(world.genesis).digest(), "epoch_s": 30} | changes,  # type: ignore[arg-type]
    )
    statement = Statement(
        kind="board.set",
        issuer=old.operators[0].name,
        subject=old.origin,
        audience=world.board,
        payload=record.encode(),
    )
    return sign_post(statement, [op.governance for op in world.operators[:signers]]).encode()


def new_roots() -> tuple[DeterministicSigner, ...]:
    """The root keys after the rotation."""
    return tuple(DeterministicSigner(Algorithm.ED25519, f"acme/root/new/{n}") for n in range(2))


def maker_link(
    world: BoardWorld,
    *,
    signers: tuple[DeterministicSigner, ...] | None = None,
    audience: str | None = None,
    **changes: object,
) -> bytes:
    """A `maker.set` that replaces all root keys, signed by two old and both new ones."""
    old = world.maker.record()
    register = link_entry(world, "maker.register")
    record: MakerRecord = replace(
        old,
        **{
            "epoch": 1,
            "previous": sha256(register).digest(),
            "root": KeySet(2, tuple(RoleKey(signer.public_key) for signer in new_roots())),
        }
        | changes,  # type: ignore[arg-type]
    )
    everybody = (*world.maker.keys[Role.ROOT][:2], *new_roots())
    first = [signer.public_key for signer in world.maker.keys[Role.ROOT]]
    identity = maker_id(first, 2).hex()
    statement = Statement(
        kind="maker.set",
        issuer=identity,
        subject=identity,
        audience=world.board if audience is None else audience,
        payload=record.encode(),
    )
    return sign_post(statement, everybody if signers is None else signers).encode()
