# SPDX-License-Identifier: Apache-2.0
"""Payloads held to their one form, for rules and for whoever decodes them ahead of a rule.

A rule names its decoder itself (`reading.read_payload`). What is decoded ahead by the same decoder
is what the rule would have made; by another one, of a later rule version, it is not looked at.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar, cast

from fieldpost.errors import Malformed
from fieldpost.posts.kinds import DECODERS, Payload
from fieldpost.records.advisory import decode_advisory
from fieldpost.records.advisory_shape import find_advisory

P = TypeVar("P", bound=Payload)

# By decoder: what gives the same record of a payload that it sees to be in its one form, or None.
_AS_IT_STANDS: Final[Mapping[object, Callable[[bytes], Payload | None]]] = {
    decode_advisory: find_advisory,
}


def decode_in_one_form(payload: bytes, decode: Callable[[bytes], P], kind: str) -> P:
    """A payload's record. Raises Malformed unless it is what the record would encode to."""
    find = _AS_IT_STANDS.get(decode)
    if find is not None and (found := find(payload)) is not None:
        return cast("P", found)
    record = decode(payload)
    if record.encode() != payload:
        raise Malformed(f"the payload of {kind} is not in its one form")
    return record


def decode_ahead(kind: str, payload: bytes) -> Payload | None:
    """The record of a post of this kind; None where the rule must look and say what is wrong."""
    decode = DECODERS.get(kind)
    try:
        return None if decode is None else decode_in_one_form(payload, decode, kind)
    except Malformed:
        return None
