# SPDX-License-Identifier: Apache-2.0
"""A device's report: an EAT (RFC 9711) in COSE_Sign1, about one board (docs/spec/identity.md).

    18([<< {1: alg, 4: kid, 16: "application/eat+cwt"} >>, {}, << claims >>, signature])
    claims = {3: board id, 256: 01 ‖ device id, 265: profile, 267: boot count, -65537: counter,
              -65538: [[index, sequence, image digest]…], -65539: outcome,
              -65540: [size, root, T], -65541: [[key id, T, signature]…]}    both optional

The counter lives in RAM and starts anew at every boot; (boot count, counter) orders a device's
reports. -65540 is the tree head that the device last verified, so fleets gossip about split views
for free; -65541, the Ed25519 cosignatures under it, make it somebody's word. Claims that a reader
does not know are skipped. The outcome: see `outcome`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.leaf import ueid
from fieldpost.identity.outcome import Outcome, outcome_claim, read_outcome
from fieldpost.identity.report_envelope import protected_header, signed_bytes, take_apart
from fieldpost.identity.report_form import PROFILE, PlainClaims, scan_claims
from fieldpost.keys import SIGNATURE_BYTES, Algorithm, PublicKey, Signer, verify_signature
from fieldpost.records.fields import check_text
from fieldpost.records.limits import MAX_COSIGNATURES, MAX_TEXT
from fieldpost.tlog.cosignature import Cosignature

MAX_COMPONENTS: Final = 16
_ED25519_BYTES: Final = SIGNATURE_BYTES[Algorithm.ED25519]

_AUDIENCE, _UEID, _PROFILE, _BOOT_COUNT = 3, 256, 265, 267
_COUNTER, _COMPONENTS, _OUTCOME, _HEAD, _COSIGNATURES = -65537, -65538, -65539, -65540, -65541

CheckSignature = Callable[[PublicKey, bytes, bytes], None]
SeenHead = tuple[int, bytes, int]
"""Size, root and T (Unix seconds) of a checkpoint that a device verified."""


@dataclass(frozen=True, slots=True)
class ReportedComponent:
    """What runs in one component: its index in the manifest, the release's sequence, the image's
    SHA-256."""

    index: int
    sequence: int
    digest: bytes

    def __post_init__(self) -> None:
        _check_uint(self.index, "a component's index", MAX_COMPONENTS - 1)
        _check_uint(self.sequence, "a component's sequence")
        if len(self.digest) != 32:
            raise Malformed("a component's digest must be 32 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one device says about itself. `device` is its 32-byte id; `reason` is for people.

    Raises Malformed beyond limits: 16 components in order of index, 256 characters of reason.
    """

    board: str
    device: bytes
    boot_count: int
    counter: int
    components: tuple[ReportedComponent, ...]
    outcome: Outcome
    reason: str = ""
    head: SeenHead | None = None
    cosignatures: tuple[Cosignature, ...] = ()

    def __post_init__(self) -> None:
        check_text(self.board, "a board id", MAX_TEXT)
        check_text(self.reason, "a reason", MAX_TEXT, least=0)
        _check_uint(self.boot_count, "boot count")
        _check_uint(self.counter, "counter")
        if len(self.device) != 32:
            raise Malformed("a device id must be 32 bytes")
        if len(self.components) > MAX_COMPONENTS:
            raise Malformed(f"a report names at most {MAX_COMPONENTS} components")
        if any(first.index >= second.index for first, second in pairwise(self.components)):
            raise Malformed("components must stand in order of index, each once")
        if self.head is not None:
            size, root, timestamp = self.head
            _check_uint(size, "the head's size")
            _check_uint(timestamp, "the head's time")
            if len(root) != 32:
                raise Malformed("the head's root must be 32 bytes")
        if self.cosignatures and self.head is None:
            raise Malformed("cosignatures without the head that they are under")
        if len(self.cosignatures) > MAX_COSIGNATURES or any(
            len(one.signature) != _ED25519_BYTES for one in self.cosignatures
        ):
            raise Malformed(f"a report carries at most {MAX_COSIGNATURES} Ed25519 cosignatures")

    @property
    def order(self) -> tuple[int, int]:
        """Boot count and counter: later reports of one device compare greater."""
        return self.boot_count, self.counter

    def claims(self) -> bytes:
        """The encoded claims: what is signed."""
        components = [[item.index, item.sequence, item.digest] for item in self.components]
        claims: dict[int, object] = {
            _AUDIENCE: self.board,
            _UEID: ueid(self.device),
            _PROFILE: PROFILE,
            _BOOT_COUNT: self.boot_count,
            _COUNTER: self.counter,
            _COMPONENTS: components,
            _OUTCOME: outcome_claim(self.outcome, self.reason),
        }
        if self.head is not None:
            claims[_HEAD] = self.head
        if self.cosignatures:
            claims[_COSIGNATURES] = [
                [c.key_id, c.timestamp, c.signature] for c in self.cosignatures
            ]
        return cbor.encode(claims)


def sign_report(report: Report, signer: Signer) -> bytes:
    """The report, signed by the device that it is about.

    Raises Malformed if the signer holds another device's key, and what the signer raises.
    """
    key = signer.public_key
    if key.thumbprint() != report.device:
        raise Malformed("a device reports about itself: the key is another device's")
    protected, claims = protected_header(key.algorithm, report.device), report.claims()
    signature = signer.sign(signed_bytes(protected, claims))
    return cbor.encode(cbor.Tag(18, (protected, {}, claims, signature)))


def open_report(data: bytes) -> tuple[bytes, Report]:
    """The kid, to look the device's key up, and the report **as claimed, unverified**.

    Raises Malformed.
    """
    envelope = take_apart(data)
    return envelope.kid, _read_claims(envelope.claims)


def signer_of(data: bytes) -> bytes:
    """The kid alone, **as claimed, unverified**, at a tenth of what `open_report` costs.

    Raises Malformed for what has not the form of a signed report; its claims may still be bad.
    """
    return take_apart(data).kid


def claims_of(data: bytes) -> bytes:
    """The encoded claims **as they came, unverified**. Raises Malformed."""
    return take_apart(data).claims


def signature_check(data: bytes, key: PublicKey) -> tuple[PublicKey, bytes, bytes]:
    """The question that `verify_report` will put to `check_signature`. Raises Malformed."""
    envelope = take_apart(data)
    return key, envelope.signed, envelope.signature


def verify_report(
    data: bytes,
    key: PublicKey,
    *,
    board: str | None = None,
    check_signature: CheckSignature = verify_signature,
) -> Report:
    """The report that the device with `key` signed, about itself and, if given, for `board`.

    `check_signature` is for callers that verified earlier, elsewhere: it must agree with the
    default. Raises Malformed, Untrusted("wrong-device") for another key's or about another device,
    Untrusted("bad-signature"), Untrusted("wrong-board"). Whether it is new says `Report.order`.
    """
    envelope = take_apart(data)
    kid = envelope.kid
    if kid != key.thumbprint() or envelope.algorithm != key.algorithm:
        raise Untrusted("wrong-device", "the report is signed by another device's key")
    check_signature(key, envelope.signed, envelope.signature)
    report = _read_claims(envelope.claims)
    if report.device != kid:
        raise Untrusted("wrong-device", "the report is about another device than its signer")
    if board is not None and report.board != board:
        raise Untrusted("wrong-board", f"the report is for {report.board}")
    return report


def _read_claims(encoded: bytes) -> Report:
    plain = scan_claims(encoded)
    return _decode_claims(encoded) if plain is None else _of_plain(plain)


def _of_plain(plain: PlainClaims) -> Report:
    cosignatures = plain.cosignatures
    return Report(
        board=plain.board,
        device=plain.device,
        boot_count=plain.boot_count,
        counter=plain.counter,
        components=(ReportedComponent(*plain.component),),
        outcome=plain.outcome,
        head=plain.head,
        cosignatures=() if cosignatures is None else _read_cosignatures(cbor.decode(cosignatures)),
    )


def _decode_claims(encoded: bytes) -> Report:
    claims = cbor.decode(encoded)
    if not isinstance(claims, dict):
        raise Malformed("a report's claims must be a map")
    if claims.get(_PROFILE) != PROFILE:
        raise Malformed(f"a report's eat_profile must be {PROFILE}")
    outcome, reason = read_outcome(_claim(claims, _OUTCOME))
    # By hand here and below: a pattern's tests of types cost more than all the rest.
    board, who = _claim(claims, _AUDIENCE), _claim(claims, _UEID)
    components = _claim(claims, _COMPONENTS)
    if not (
        isinstance(board, str)
        and isinstance(who, bytes)
        and len(who) == 33
        and who[0] == 1
        and isinstance(components, tuple)
    ):
        raise Malformed("a report names a board, a 33-byte ueid of type 01, and components")
    return Report(
        board=board,
        device=who[1:],
        boot_count=_check_uint(_claim(claims, _BOOT_COUNT), "boot count"),
        counter=_check_uint(_claim(claims, _COUNTER), "counter"),
        components=tuple(_read_component(item) for item in components),
        outcome=outcome,
        reason=reason,
        head=_read_head(claims[_HEAD]) if _HEAD in claims else None,
        cosignatures=_read_cosignatures(claims.get(_COSIGNATURES, ())),
    )


def _claim(claims: Mapping[cbor.Key, cbor.Value], label: int) -> cbor.Value:
    if label not in claims:
        raise Malformed(f"a report lacks claim {label}")
    return claims[label]


def _read_component(value: cbor.Value) -> ReportedComponent:
    if isinstance(value, tuple) and len(value) == 3:
        index, sequence, digest = value
        if isinstance(index, int) and isinstance(sequence, int) and isinstance(digest, bytes):
            return ReportedComponent(index, sequence, digest)
    raise Malformed("a reported component must be [index, sequence, digest]")


def _read_head(value: cbor.Value) -> SeenHead:
    if isinstance(value, tuple) and len(value) == 3:
        size, root, timestamp = value
        if isinstance(size, int) and isinstance(root, bytes) and isinstance(timestamp, int):
            return size, root, timestamp
    raise Malformed("the head seen must be [size, root, time]")


def _read_cosignatures(value: cbor.Value) -> tuple[Cosignature, ...]:
    if not isinstance(value, tuple):
        raise Malformed("a report's cosignatures must be an array")
    found = []
    for item in value:
        match item:
            case (bytes(key_id), int(timestamp), bytes(signature)):
                found.append(Cosignature(key_id, timestamp, signature))
            case _:
                raise Malformed("a cosignature must be [key id, time, signature]")
    return tuple(found)


def _check_uint(value: object, what: str, most: int = cbor.MAX_INT) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise Malformed(f"{what} must be an integer in [0, {most}]")
    return value
