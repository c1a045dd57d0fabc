# SPDX-License-Identifier: Apache-2.0
"""The `sub` claim of every kind of post: what it is about, as text.

A rule computes the subject from the payload and refuses a post that claims another, so an index by
subject can be trusted without decoding payloads.
"""


def of_maker(maker_id: bytes) -> str:
    """`maker.*`: the maker id in hex."""
    return maker_id.hex()


def of_class(class_id: bytes) -> str:
    """`class.set`, `fleet.summary` and `provisioning`: the class id in hex."""
    return class_id.hex()


def of_release(class_id: bytes, sequence: int) -> str:
    """`release.*`: class id in hex, slash, sequence."""
    return f"{class_id.hex()}/{sequence}"


def of_channel(class_id: bytes, channel: str) -> str:
    """`rollout.set`: class id in hex, slash, channel."""
    return f"{class_id.hex()}/{channel}"


def of_lot(lot_id: bytes) -> str:
    """`lot.enrol` and `device.status`: the lot id in hex."""
    return lot_id.hex()


def of_advisory(class_id: bytes, number: int) -> str:
    """`advisory.publish`: class id in hex, `/advisory/`, number."""
    return f"{class_id.hex()}/advisory/{number}"


def of_blob(digest: bytes) -> str:
    """`blob.gone` and upload permits: the blob's SHA-256 in hex."""
    return digest.hex()
