# SPDX-License-Identifier: Apache-2.0
"""The SUIT manifest in restricted profile 1 (docs/spec/release.md).

    {1: 1, 2: sequence, 3: << {2: [component id…], 4: << shared >>} >>, 7: << validate >>,
     20: << install >>, 23: SUIT_Digest of the severed text}                     23 is optional

    component id = [1…4 byte strings of 1…32 bytes]
    shared   = [20, {1: vendor, 2: class}, 1, 15, 2, 15,
                then for component i: 12, i, 20, {3: << SUIT_Digest >>, 14: size}]
    validate = [for component i: 12, i, 3, 15]
    install  = [for component i: 12, i, 20, {21: uri, 19: encryption info}, 21, 15, 3, 15]
    uri      = "ni:///sha-256;" ‖ base64url of the digest, unpadded (RFC 6920 §3)

Digest and size are of the final plaintext image; the uri says nothing that the digest does not,
and is there for readers of plain SUIT. Parameter 19 stands only where an image is encrypted.
Source: draft-ietf-suit-manifest-37 §8.4. `decode_manifest` accepts what `encode_manifest` writes.
"""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.suit.commands import REPORT_ALL, Command, CommandReader, Parameter
from fieldpost.suit.digest import read_digest, suit_digest

MAX_COMPONENTS: Final = 16
MAX_ID_PARTS: Final = 4
MAX_ID_PART_BYTES: Final = 32
MAX_SIZE: Final = 2**32 - 1
MAX_ENCRYPTION_INFO_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Component:
    """One image. `digest` (SHA-256) and `size` in bytes are of the plaintext.

    `encryption_info` is the bytes of SUIT_Encryption_Info, unread. Raises Malformed beyond limits.
    """

    id: tuple[bytes, ...]
    digest: bytes
    size: int
    encryption_info: bytes | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= MAX_ID_PARTS or not all(
            1 <= len(part) <= MAX_ID_PART_BYTES for part in self.id
        ):
            raise Malformed("a component id has 1…4 parts of 1…32 bytes")
        if len(self.digest) != 32:
            raise Malformed("a component's digest must be 32 bytes of SHA-256")
        if not 1 <= self.size <= MAX_SIZE:
            raise Malformed(f"a component's size must be in [1, {MAX_SIZE}]")
        info = self.encryption_info
        if info is not None and not 1 <= len(info) <= MAX_ENCRYPTION_INFO_BYTES:
            raise Malformed(f"encryption info must be 1…{MAX_ENCRYPTION_INFO_BYTES} bytes")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One release's manifest. `vendor` and `class_id` are 16-byte UUIDs.

    `text_digest` is of the severed text, which devices never see. Raises Malformed beyond limits.
    """

    sequence: int
    vendor: bytes
    class_id: bytes
    components: tuple[Component, ...]
    text_digest: bytes | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.sequence <= cbor.MAX_INT:
            raise Malformed("a manifest's sequence must be in [1, 2^63-1]")
        if len(self.vendor) != 16 or len(self.class_id) != 16:
            raise Malformed("vendor and class must be 16-byte UUIDs")
        if not 1 <= len(self.components) <= MAX_COMPONENTS:
            raise Malformed(f"a manifest has 1…{MAX_COMPONENTS} components")
        if len({component.id for component in self.components}) != len(self.components):
            raise Malformed("component ids occur more than once")
        if self.text_digest is not None and len(self.text_digest) != 32:
            raise Malformed("the text's digest must be 32 bytes of SHA-256")


def digest_uri(digest: bytes) -> str:
    """The ni: URI (RFC 6920 §3) of bytes with this SHA-256 digest."""
    return "ni:///sha-256;" + urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def encode_manifest(manifest: Manifest) -> bytes:
    """Deterministic CBOR of the manifest map, without the byte string around it."""
    shared: list[object] = [
        *(Command.OVERRIDE_PARAMETERS, {1: manifest.vendor, 2: manifest.class_id}),
        *(Command.VENDOR_MATCH, REPORT_ALL, Command.CLASS_MATCH, REPORT_ALL),
    ]
    validate: list[object] = []
    install: list[object] = []
    for index, component in enumerate(manifest.components):
        select = (Command.SET_COMPONENT_INDEX, index)
        image = {
            Parameter.IMAGE_DIGEST: cbor.encode(suit_digest(component.digest)),
            Parameter.IMAGE_SIZE: component.size,
        }
        source: dict[int, object] = {Parameter.URI: digest_uri(component.digest)}
        if component.encryption_info is not None:
            source[Parameter.ENCRYPTION_INFO] = component.encryption_info
        match_image = (Command.IMAGE_MATCH, REPORT_ALL)
        shared += (*select, Command.OVERRIDE_PARAMETERS, image)
        validate += (*select, *match_image)
        install += (*select, Command.OVERRIDE_PARAMETERS, source)
        install += (Command.FETCH, REPORT_ALL, *match_image)
    common = {2: [component.id for component in manifest.components], 4: cbor.encode(shared)}
    value: dict[int, object] = {
        1: 1,
        2: manifest.sequence,
        3: cbor.encode(common),
        7: cbor.encode(validate),
        20: cbor.encode(install),
    }
    if manifest.text_digest is not None:
        value[23] = suit_digest(manifest.text_digest)
    return cbor.encode(value)


def decode_manifest(data: bytes, *, decrypts: bool = False) -> Manifest:
    """Read a manifest of profile 1; says nothing about who signed it.

    `decrypts` = the caller can decrypt images; without it an encrypted component is refused.
    Raises Malformed for what is no SUIT manifest at all, Untrusted("unsupported") with the precise
    place for one that profile 1 does not admit.
    """
    top = _read_map(data, "manifest", needed={1, 2, 3, 7, 20}, optional={23})
    if top[1] != 1:
        raise Untrusted("unsupported", f"manifest version {top[1]!r}, not 1")
    common = _read_map(_octets(top[3], "common"), "common", needed={2, 4}, optional=set())
    ids = _read_ids(common[2])
    vendor, class_id, images = _read_shared(_octets(common[4], "shared sequence"), len(ids))
    _read_validate(_octets(top[7], "validate"), len(ids))
    infos = _read_install(_octets(top[20], "install"), [digest for digest, _ in images])
    if not decrypts and any(info is not None for info in infos):
        raise Untrusted("unsupported", "install: an image is encrypted, and nothing here decrypts")
    manifest = Manifest(
        sequence=_uint(top[2], "sequence"),
        vendor=vendor,
        class_id=class_id,
        components=tuple(
            Component(id_, digest, size, info)
            for id_, (digest, size), info in zip(ids, images, infos, strict=True)
        ),
        text_digest=read_digest(top[23], "text") if 23 in top else None,
    )
    # Python holds True == 1, and a later edit may forget a check: the encoder has the last word.
    if encode_manifest(manifest) != data:
        raise Untrusted("unsupported", "the manifest is not written as profile 1 writes it")
    return manifest


def _read_shared(sequence: bytes, count: int) -> tuple[bytes, bytes, list[tuple[bytes, int]]]:
    reader = CommandReader(sequence, "shared sequence")
    identity = reader.parameters({Parameter.VENDOR, Parameter.CLASS})
    reader.expect(Command.VENDOR_MATCH, REPORT_ALL)
    reader.expect(Command.CLASS_MATCH, REPORT_ALL)
    images = []
    for index in range(count):
        reader.expect(Command.SET_COMPONENT_INDEX, index)
        image = reader.parameters({Parameter.IMAGE_DIGEST, Parameter.IMAGE_SIZE})
        wrapped = _octets(image[Parameter.IMAGE_DIGEST], "image digest")
        digest = read_digest(cbor.decode(wrapped), "image digest")
        images.append((digest, _uint(image[Parameter.IMAGE_SIZE], "image size")))
    reader.end()
    vendor = _octets(identity[Parameter.VENDOR], "vendor")
    return vendor, _octets(identity[Parameter.CLASS], "class"), images


def _read_validate(sequence: bytes, count: int) -> None:
    reader = CommandReader(sequence, "validate")
    for index in range(count):
        reader.expect(Command.SET_COMPONENT_INDEX, index)
        reader.expect(Command.IMAGE_MATCH, REPORT_ALL)
    reader.end()


def _read_install(sequence: bytes, digests: list[bytes]) -> list[bytes | None]:
    reader = CommandReader(sequence, "install")
    infos: list[bytes | None] = []
    for index, digest in enumerate(digests):
        reader.expect(Command.SET_COMPONENT_INDEX, index)
        source = reader.parameters({Parameter.URI}, frozenset({Parameter.ENCRYPTION_INFO}))
        if source[Parameter.URI] != digest_uri(digest):
            raise Untrusted("unsupported", f"install: component {index}'s uri must be its digest's")
        info = source.get(Parameter.ENCRYPTION_INFO)
        infos.append(None if info is None else _octets(info, "encryption info"))
        reader.expect(Command.FETCH, REPORT_ALL)
        reader.expect(Command.IMAGE_MATCH, REPORT_ALL)
    reader.end()
    return infos


def _read_map(
    data: bytes, what: str, *, needed: set[int], optional: set[int]
) -> dict[cbor.Key, cbor.Value]:
    value = cbor.decode(data)
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be a map")
    others = [label for label in value if label not in needed | optional]
    if others:
        raise Untrusted("unsupported", f"{what}: label {others[0]!r} is not in profile 1")
    missing = sorted(needed - value.keys())
    if missing:
        raise Untrusted("unsupported", f"{what}: profile 1 demands label {missing[0]}")
    return value


def _read_ids(value: cbor.Value) -> list[tuple[bytes, ...]]:
    if not isinstance(value, tuple) or not 1 <= len(value) <= MAX_COMPONENTS:
        raise Malformed(f"components must be an array of 1…{MAX_COMPONENTS} ids")
    ids = []
    for item in value:
        if not isinstance(item, tuple):
            raise Malformed("a component id must be an array of byte strings")
        ids.append(tuple(_octets(part, "a part of a component id") for part in item))
    return ids


def _octets(value: cbor.Value, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed(f"{what} must be a byte string")
    return value


def _uint(value: cbor.Value, what: str) -> int:
    if type(value) is not int:
        raise Malformed(f"{what} must be an integer")
    return value
