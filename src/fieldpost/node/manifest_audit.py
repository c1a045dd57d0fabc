# SPDX-License-Identifier: Apache-2.0
"""Are the envelopes that a node keeps those that makers signed?"""

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.statemap import StateMap
from fieldpost.suit.envelope import decode_envelope, verify_envelope
from fieldpost.suit.manifest import decode_manifest

_MOST_BYTES = 65_535


def wrong_manifest(data: bytes, map_: StateMap) -> str | None:
    """What is wrong in a stored envelope, by the records of `map_`; None if nothing is.

    After its maker's keys changed an envelope may have too few of today's; that is no damage.
    """
    try:
        envelope = decode_envelope(data)
        class_id = decode_manifest(envelope.manifest, decrypts=True).class_id
        maker = _maker_of(map_, class_id, envelope.digest)
        if maker is None:
            return "no release on the board names it"
        keys = maker.keys_of(Role.RELEASE)
        verify_envelope(
            data,
            keys=keys.by_kid(),
            threshold=1 if maker.epoch else keys.threshold,
            most_bytes=_MOST_BYTES,
            decrypts=True,
        )
    except Untrusted as error:
        if error.reason == "manifest-threshold" and maker is not None and maker.epoch:
            return None
        return f"its signatures are damaged: {error}"
    except Malformed as error:
        return f"it is damaged: {error}"
    return None


def _maker_of(map_: StateMap, class_id: bytes, digest: bytes) -> MakerRecord | None:
    """The maker of the release that names a manifest; None where no release does."""
    class_value = map_.value(map_keys.device_class(class_id))
    sequence = map_.value(map_keys.manifest(class_id, digest))
    if class_value is None or sequence is None or not isinstance(cbor.decode(sequence), int):
        return None
    value = map_.value(map_keys.maker(decode_class_record(class_value).maker))
    return None if value is None else decode_maker_record(value)
