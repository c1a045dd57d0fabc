# SPDX-License-Identifier: Apache-2.0
"""Fieldpost: the public bulletin board of signed software releases for devices in the field.

What stands in `__all__` is for other people's programs, such as an agent of their own:

    belief, provisioning = fieldpost.believe(provisioning_file)
    key = fieldpost.head_key(provisioning.class_id, "stable")
    verified = fieldpost.verify_bundle(belief, bundle, key=key, now=clock)
    offer = fieldpost.choose_offer(
        verified.head, running=10, device=device, lot=None, timestamp=verified.timestamp
    )
    manifest = fieldpost.verify_release(envelope, offer, maker=…, maker_id=…, class_id=…, limits=…)

Everything here is pure: bytes and numbers in, values or `FieldpostError` out. Each name is loaded
when it is first used, so `import fieldpost` costs nothing, and nothing of it is server code.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fieldpost.checkin.belief import Belief, believe, decode_belief
    from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
    from fieldpost.checkin.chains import MissingLinks
    from fieldpost.checkin.freshness import is_stale, trusted_clock
    from fieldpost.checkin.manifests import verify_release
    from fieldpost.checkin.offers import choose_offer
    from fieldpost.checkin.verify import Verified, verify_bundle
    from fieldpost.checkin.way_out import believe_links, is_grace_over
    from fieldpost.errors import (
        Conflict,
        FieldpostError,
        Malformed,
        Misbehaviour,
        Misconfigured,
        NotFound,
        Rejected,
        Unavailable,
        Untrusted,
    )
    from fieldpost.identity.enrolment import encode_request, verify_request
    from fieldpost.identity.leaf import DeviceLeaf, device_id, format_device_id
    from fieldpost.identity.lot import verify_membership
    from fieldpost.identity.outcome import Outcome
    from fieldpost.identity.report import Report, ReportedComponent, sign_report, verify_report
    from fieldpost.keys import Algorithm, PublicKey, Signer, verify_signature
    from fieldpost.records.board import BoardRecord
    from fieldpost.records.device_class import DeviceLimits
    from fieldpost.records.head import Head, Offer
    from fieldpost.records.maker import MakerRecord
    from fieldpost.records.map_keys import head as head_key
    from fieldpost.records.map_keys import release as release_key
    from fieldpost.records.policy import DevicePolicy
    from fieldpost.records.provisioning import ProvisioningRecord
    from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record
    from fieldpost.suit.manifest import Component, Manifest
    from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof

__version__ = "0.1.0"

__all__ = [
    "Algorithm",
    "Artifact",
    "Belief",
    "BoardRecord",
    "Bundle",
    "Component",
    "Conflict",
    "DeviceLeaf",
    "DeviceLimits",
    "DevicePolicy",
    "FieldpostError",
    "Head",
    "MakerRecord",
    "Malformed",
    "Manifest",
    "Misbehaviour",
    "Misconfigured",
    "MissingLinks",
    "NotFound",
    "Offer",
    "Outcome",
    "ProvisioningRecord",
    "PublicKey",
    "Rejected",
    "ReleaseRecord",
    "Report",
    "ReportedComponent",
    "Signer",
    "Unavailable",
    "Untrusted",
    "Verified",
    "__version__",
    "believe",
    "believe_links",
    "choose_offer",
    "decode_belief",
    "decode_bundle",
    "decode_release_record",
    "device_id",
    "encode_bundle",
    "encode_request",
    "format_device_id",
    "head_key",
    "is_grace_over",
    "is_stale",
    "parse_offline_proof",
    "release_key",
    "sign_report",
    "trusted_clock",
    "verify_bundle",
    "verify_membership",
    "verify_offline_proof",
    "verify_release",
    "verify_report",
    "verify_request",
    "verify_signature",
]

# Room: the public names that live in it, as the imports above say for type checkers.
_ROOMS: Final = {
    "checkin.belief": ("Belief", "believe", "decode_belief"),
    "checkin.bundle": ("Bundle", "decode_bundle", "encode_bundle"),
    "checkin.chains": ("MissingLinks",),
    "checkin.freshness": ("is_stale", "trusted_clock"),
    "checkin.manifests": ("verify_release",),
    "checkin.offers": ("choose_offer",),
    "checkin.verify": ("Verified", "verify_bundle"),
    "checkin.way_out": ("believe_links", "is_grace_over"),
    "errors": (
        *("Conflict", "FieldpostError", "Malformed", "Misbehaviour", "Misconfigured"),
        *("NotFound", "Rejected", "Unavailable", "Untrusted"),
    ),
    "identity.enrolment": ("encode_request", "verify_request"),
    "identity.leaf": ("DeviceLeaf", "device_id", "format_device_id"),
    "identity.lot": ("verify_membership",),
    "identity.outcome": ("Outcome",),
    "identity.report": ("Report", "ReportedComponent", "sign_report", "verify_report"),
    "keys": ("Algorithm", "PublicKey", "Signer", "verify_signature"),
    "records.board": ("BoardRecord",),
    "records.device_class": ("DeviceLimits",),
    "records.head": ("Head", "Offer"),
    "records.maker": ("MakerRecord",),
    "records.map_keys": ("head_key:head", "release_key:release"),
    "records.policy": ("DevicePolicy",),
    "records.provisioning": ("ProvisioningRecord",),
    "records.release": ("Artifact", "ReleaseRecord", "decode_release_record"),
    "suit.manifest": ("Component", "Manifest"),
    "tlog.offline": ("parse_offline_proof", "verify_offline_proof"),
}
_PLACES: Final = {
    name.partition(":")[0]: (room, name.rpartition(":")[2])
    for room, names in _ROOMS.items()
    for name in names
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, inner = _PLACES[name]
    value: object = getattr(import_module(f"{__name__}.{room}"), inner)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
