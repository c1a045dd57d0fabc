# SPDX-License-Identifier: Apache-2.0
"""Setting a device up: its key, the request that proves possession of it, and its first memory.

The key is made here and never leaves. Everything but the provisioning record and the factory's
image is made before the memory, whose presence says that the device is set up; a set-up that was
cut off is simply run again, and keeps the key that it had made.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from fieldpost.agent.config import DEFAULT, Config, load_config
from fieldpost.agent.home import Home
from fieldpost.agent.memory import Memory, save_memory
from fieldpost.agent.reading import read_chunks
from fieldpost.agent.slots.base import Image, ImageSet, Write, parse_name
from fieldpost.agent.slots.choice import make_slots
from fieldpost.agent.trust import believe_factory
from fieldpost.durable import make_dirs, write_file
from fieldpost.errors import Conflict, Malformed, Misconfigured, Unavailable
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm, Signer
from fieldpost.signers.keyfile import load_key_file, save_key_file, save_key_reference
from fieldpost.signers.software import SoftwareSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The factory's images by the names of their components, and the release that they are."""

    images: Mapping[str, Path]
    sequence: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What was made. `device` is the 32-byte device id, `request` the file for the maker."""

    device: bytes
    class_id: bytes
    board: str
    request: Path


def enrol(
    home: Home,
    *,
    provisioning: bytes,
    serial: str,
    algorithm: Algorithm = Algorithm.ED25519,
    make_key: Callable[[Algorithm], str] | None = None,
    base: Base | None = None,
) -> Enrolled:
    """Set `home` up for one device. `make_key` makes its key in a token; the `pkcs11:` URI of it.

    Raises Conflict if a device is set up there, Malformed and Untrusted for a provisioning record
    that its own root keys did not sign, Malformed for a bad serial, Unavailable, Misconfigured.
    """
    belief, record = believe_factory(provisioning)
    if home.memory.exists():
        raise Conflict(f"a device is set up in {home.root} already; its key and memory are kept")
    make_dirs(home.root, mode=0o700, disk=home.disk)
    signer = _device_key(home, algorithm, make_key)
    leaf = DeviceLeaf(serial, signer.public_key, record.class_id)
    request = home.root / f"{_file_name(serial)}.enrol"
    write_file(request, encode_request(leaf, signer), disk=home.disk)
    write_file(home.provisioning, provisioning, disk=home.disk)
    if not home.config.exists():
        text = DEFAULT.format(channel=record.channels[0])
        write_file(home.config, text.encode(), disk=home.disk)
    make_dirs(home.slots, disk=home.disk)
    if base is not None:
        _place(home, base, load_config(home.config, channels=record.channels))
    memory = Memory(belief=belief, running=base.sequence if base else 0)
    save_memory(home.memory, memory, disk=home.disk)
    return Enrolled(
        device=leaf.device, class_id=record.class_id, board=record.board, request=request
    )


def _device_key(
    home: Home, algorithm: Algorithm, make_key: Callable[[Algorithm], str] | None
) -> Signer:
    """The key of a set-up that was cut off, or a new one."""
    if not home.key.exists() and make_key is not None:
        save_key_reference(home.key, make_key(algorithm), disk=home.disk)
    elif not home.key.exists():
        save_key_file(home.key, SoftwareSigner.generate(algorithm), None, disk=home.disk)
    return load_device_key(home.key)


def load_device_key(path: Path) -> Signer:
    """The device's signer; its file is not encrypted, because a device starts alone.

    Raises Misconfigured.
    """

    def encrypted() -> NoReturn:
        raise Misconfigured(f"{path} is encrypted; a device must start alone")

    return load_key_file(path, encrypted)


def _file_name(serial: str) -> str:
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in serial)
    if not name.strip("."):
        raise Malformed(f"the serial {serial!r} has no letter or digit")
    return name


def _place(home: Home, base: Base, config: Config) -> None:
    def never() -> NoReturn:
        raise AssertionError("nothing boots while a device is set up")

    def fill(image: Image, write: Write) -> None:
        write(_read(files[image.id]))

    files = {parse_name(name): path for name, path in base.images.items()}
    images = tuple(_measure(component, path) for component, path in files.items())
    slots = make_slots(home.slots, config.commands, boot=never, disk=home.disk)
    release = ImageSet(sequence=base.sequence, version=base.version, images=images)
    slots.place_factory_images(release, fill)


def _measure(component: tuple[bytes, ...], path: Path) -> Image:
    hasher, size = sha256(), 0
    for chunk in _read(path):
        hasher.update(chunk)
        size += len(chunk)
    return Image(id=component, digest=hasher.digest(), size=size)


def _read(path: Path) -> Iterator[bytes]:
    try:
        yield from read_chunks(path)
    except Unavailable as failure:
        raise Misconfigured(str(failure)) from failure
