# SPDX-License-Identifier: Apache-2.0
"""The claims of a report as most devices send them, read by a regular expression.

    a8  03 board  19 0100 58 21 01 device  19 0109 profile  19 010b boot  3a 00010000 counter
        3a 00010001 81 83 index sequence 58 20 digest  3a 00010002 outcome
        3a 00010003 83 size 58 20 root T  [3a 00010004 cosignatures]

So they are encoded where one component is named, the outcome needs no words for people, and no
claim is unknown; with cosignatures the map begins with a9, without a head with a7. To read them so
takes a quarter of the time of the decoder, which reads the same, and everything else.
"""

import re
from typing import Final, NamedTuple

from fieldpost import cbor
from fieldpost.identity.outcome import Outcome, outcome_claim

PROFILE: Final = "tag:fieldpost,2026:report-v1"


class PlainClaims(NamedTuple):
    """What stands in the claims. `head` is size, root and T; `cosignatures` still encoded."""

    board: str
    device: bytes
    boot_count: int
    counter: int
    component: tuple[int, int, bytes]
    outcome: Outcome
    head: tuple[int, bytes, int] | None
    cosignatures: bytes | None


_OUTCOMES: Final = {cbor.encode(outcome_claim(outcome, "")): outcome for outcome in Outcome}
# A number in its shortest form, up to 2^63 - 1.
_UINT: Final = (
    rb"([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\0\0).{4}|\x1b(?!\0{4})[\x00-\x7f].{7})"
)
_FORM: Final = re.compile(
    rb"([\xa7-\xa9])\x03([\x61-\x77]|\x78[\x18-\xff])([ -~]+)\x19\x01\x00\x58\x21\x01(.{32})"
    + re.escape(cbor.encode(265) + cbor.encode(PROFILE))
    + rb"\x19\x01\x0b" + _UINT + rb"\x3a\x00\x01\x00\x00" + _UINT
    + rb"\x3a\x00\x01\x00\x01\x81\x83" + _UINT + _UINT + rb"\x58\x20(.{32})"
    + rb"\x3a\x00\x01\x00\x02(" + b"|".join(map(re.escape, _OUTCOMES)) + rb")"
    + rb"(?:\x3a\x00\x01\x00\x03\x83" + _UINT + rb"\x58\x20(.{32})" + _UINT
    + rb"(?:\x3a\x00\x01\x00\x04(.+))?)?",
    re.DOTALL,
)  # fmt: skip


def scan_claims(encoded: bytes) -> PlainClaims | None:
    """What the claims say, None if they have not this form. Limits are the caller's."""
    match = _FORM.fullmatch(encoded)
    if match is None:
        return None
    (
        count, length, board, device, boot, counter, index, sequence, digest, outcome,
        size, root, timestamp, cosignatures,
    ) = match.groups()  # fmt: skip
    # The regular expression cannot count.
    claims = 7 + (size is not None) + (cosignatures is not None)
    if count[0] != 0xA0 + claims or _argument(length, 0x60) != len(board):
        return None
    return PlainClaims(
        board=board.decode(),
        device=device,
        boot_count=_argument(boot),
        counter=_argument(counter),
        component=(_argument(index), _argument(sequence), digest),
        outcome=_OUTCOMES[outcome],
        head=None if size is None else (_argument(size), root, _argument(timestamp)),
        cosignatures=cosignatures,
    )


def _argument(head: bytes, kind: int = 0) -> int:
    return head[0] - kind if len(head) == 1 else int.from_bytes(head[1:], "big")
