# SPDX-License-Identifier: Apache-2.0
"""The chain of links that a maker brings along to a further board (docs/spec/rules.md, maker).

    maker.register, maker.set, maker.set …      as they stand on the boards where they were posted

The first link's root keys give the maker id. Each later one names the one before by its entry's
digest, is for the board that the policy before it names, and is signed by the root threshold of
both. Every key signed the link in which it appears, so nobody can bring a key that is not theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fieldpost.errors import Untrusted
from fieldpost.keys import PublicKey
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context
from fieldpost.ledger.reading import read_payload
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import identifiers
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """One link: its record, the SHA-256 of its entry, and the board that it was posted to."""

    record: MakerRecord
    digest: bytes
    board: str


def held_keys(record: MakerRecord) -> dict[bytes, tuple[PublicKey, Role]]:
    """Every key of a maker's roles by thumbprint, with its role."""
    return {kid: (key, role) for role in Role for kid, key in record.keys_of(role).by_kid().items()}


def added_keys(before: MakerRecord, record: MakerRecord) -> dict[bytes, tuple[PublicKey, Role]]:
    """The keys that `record` has and `before` does not have, or not in that role."""
    old = held_keys(before)
    return {kid: held for kid, held in held_keys(record).items() if old.get(kid) != held}


def check_root(record: MakerRecord, signers: set[bytes], whose: str) -> None:
    """The record's root threshold is among `signers` (kids). Raises Rejected(threshold)."""
    count = len(signers & set(record.root.by_kid()))
    if count < record.root.threshold:
        raise refusal(
            Code.THRESHOLD, f"{count} of {record.root.threshold} {whose} root keys signed"
        )


def read_chain(entries: Sequence[bytes], ctx: Context) -> tuple[bytes, tuple[ChainLink, ...]]:
    """The maker id and the links of `entries`, which begin with epoch 0, every signature checked.

    Raises Malformed, Rejected(bad-chain, bad-signature, threshold, possession).
    """
    first, *later = [(decode_post(entry), sha256(entry).digest()) for entry in entries]
    maker_id, link = _first(*first, ctx)
    links = [link]
    for post, digest in later:
        link = _next(link, post, digest, maker_id, ctx)
        links.append(link)
    return maker_id, tuple(links)


def _first(post: Post, digest: bytes, ctx: Context) -> tuple[bytes, ChainLink]:
    record = read_payload(post, decode_maker_record)
    maker_id = identifiers.maker_id(
        [entry.key for entry in record.root.keys], record.root.threshold
    )
    _check_claims(post, "maker.register", maker_id, board=record.policy.board)
    if record.epoch != 0 or record.earlier_links:
        raise refusal(Code.BAD_CHAIN, "the chain does not begin with the maker's first link")
    _check_signed(post, {kid: key for kid, (key, _) in held_keys(record).items()}, ctx)
    return maker_id, ChainLink(record=record, digest=digest, board=post.statement.audience)


def _next(before: ChainLink, post: Post, digest: bytes, maker_id: bytes, ctx: Context) -> ChainLink:
    old, record = before.record, read_payload(post, decode_maker_record)
    _check_claims(post, "maker.set", maker_id, board=old.policy.board)
    if (record.epoch, record.previous) != (old.epoch + 1, before.digest) or record.earlier_links:
        raise refusal(Code.BAD_CHAIN, f"a link of epoch {record.epoch} after {old.epoch}")
    added = {kid: key for kid, (key, _) in added_keys(old, record).items()}
    signers = _check_signed(post, added, ctx, known=old.root.by_kid() | record.root.by_kid())
    check_root(old, signers, "old")
    check_root(record, signers, "new")
    return ChainLink(record=record, digest=digest, board=post.statement.audience)


def _check_claims(post: Post, kind: str, maker_id: bytes, *, board: str) -> None:
    statement = post.statement
    claims = (statement.kind, statement.issuer, statement.subject, statement.audience)
    if claims != (kind, maker_id.hex(), subjects.of_maker(maker_id), board):
        raise refusal(Code.BAD_CHAIN, f"{' '.join(claims)}: not the maker's next link")


def _check_signed(
    post: Post,
    needed: Mapping[bytes, PublicKey],
    ctx: Context,
    known: Mapping[bytes, PublicKey] | None = None,
) -> set[bytes]:
    """The known signers, among them all of `needed`. Operators' endorsements are not known here."""
    keys = {**(known or {}), **needed}
    signers = set()
    for signature in post.signatures:
        key = keys.get(signature.kid)
        if key is None:
            continue
        try:
            if key.algorithm is not signature.algorithm:
                raise Untrusted("bad-signature")
            ctx.check_signature(key, post.signed_bytes(signature), signature.signature)
        except Untrusted as error:
            raise refusal(
                Code.BAD_SIGNATURE, f"an earlier link: signature of key {signature.kid.hex()}"
            ) from error
        signers.add(signature.kid)
    missing = set(needed) - signers
    if missing:
        raise refusal(Code.POSSESSION, f"key {min(missing).hex()} has not signed its link")
    return signers
