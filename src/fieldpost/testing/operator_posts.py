# SPDX-License-Identifier: Apache-2.0
"""What operators post, as honest ones would: the right epoch, previous digest, nonce, signatures.

    world.accept(board_set(world, epoch_s=30))
    world.accept(maker_attest(world, world.maker, "acme.example"))

Every function takes changes and other signers, so a test says only what is wrong with its post.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

from fieldpost import cbor
from fieldpost.keys import Signer
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.posts import subjects
from fieldpost.posts.attestation import MakerAttest
from fieldpost.posts.blob import BlobGone
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.testing.actors import MakerActor, OperatorActor
from fieldpost.testing.world import BoardWorld

BLOB: Final = sha256(b"an image that is too large to keep").digest()


def board_set(
    world: BoardWorld,
    *,
    signers: Sequence[Signer] | None = None,
    added: Sequence[Signer] = (),
    claims: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """`board.set`: `changes` to the record in force, signed by all its operators and `added`."""
    before = read_board(world.state.map)
    link = find_link(world.state.map, map_keys.board())
    assert link is not None, "every board has a link"
    record = replace(before, epoch=link.epoch + 1, previous=link.digest)
    record = replace(record, **changes)
    names = {operator.name for operator in before.operators}
    current = [op.governance for op in world.operators if op.name in names]
    return operator_post(
        world,
        "board.set",
        before.origin,
        record.encode(),
        [*(current if signers is None else signers), *added],
        **(claims or {}),
    )


def maker_attest(
    world: BoardWorld,
    maker: MakerActor,
    domain: str,
    /,
    *,
    operators: Sequence[OperatorActor] | None = None,
    claims: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """`maker.attest` at the maker's epoch, by the first ⌊(n-1)/3⌋+1 operators."""
    needed = (len(world.operators) - 1) // 3 + 1
    signing = world.operators[:needed] if operators is None else operators
    attest = MakerAttest(
        nonce=_next_nonce(world, signing[0]),
        maker=maker.id,
        epoch=maker.link_of(map_keys.maker(maker.id)).epoch,
        domain=domain,
    )
    attest = replace(attest, **changes)
    return operator_post(
        world,
        "maker.attest",
        subjects.of_maker(attest.maker),
        attest.encode(),
        [operator.governance for operator in signing],
        **{"issuer": signing[0].name, **(claims or {})},
    )


def blob_gone(
    world: BoardWorld,
    *,
    operator: OperatorActor | None = None,
    signers: Sequence[Signer] | None = None,
    claims: dict[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """`blob.gone` by the first operator."""
    operator = operator or world.operators[0]
    gone = BlobGone(nonce=_next_nonce(world, operator), digest=BLOB, reason="by court order")
    gone = replace(gone, **changes)
    return operator_post(
        world,
        "blob.gone",
        subjects.of_blob(gone.digest),
        gone.encode(),
        [operator.governance] if signers is None else signers,
        **{"issuer": operator.name, **(claims or {})},
    )


def operator_post(
    world: BoardWorld,
    kind: str,
    subject: str,
    payload: bytes,
    signers: Sequence[Signer],
    /,
    **claims: Any,
) -> bytes:
    """Any post in the first operator's name; `claims` replace issuer, subject or audience."""
    statement = Statement(
        kind=kind,
        issuer=world.operators[0].name,
        subject=subject,
        audience=world.state.board,
        payload=payload,
    )
    return sign_post(replace(statement, **claims), signers).encode()


def _next_nonce(world: BoardWorld, operator: OperatorActor) -> int:
    kid = operator.governance.public_key.thumbprint()
    value = world.state.map.value(map_keys.nonce_of_key(kid))
    return 1 if value is None else int(str(cbor.decode(value))) + 1
