# SPDX-License-Identifier: Apache-2.0
"""The images of a release: one, called `image`, or several under names of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from fieldpost.cli.artifacts import Stored, measure_image, pack_image
from fieldpost.errors import Malformed
from fieldpost.records.device_class import ClassRecord, Encoding
from fieldpost.records.limits import MAX_ARTIFACTS
from fieldpost.suit.manifest import Component

Name = tuple[bytes, ...]
ONLY: Final[Name] = (b"image",)
_MOST_PARTS: Final = 4
_MOST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Images:
    """What a manifest says, in its order, and the files that devices may fetch for it."""

    components: tuple[Component, ...]
    stored: tuple[Stored, ...]


def choose_files(
    arguments: Sequence[str], components: Sequence[str]
) -> tuple[list[str], list[tuple[Name, Path]]]:
    """(classes, [(component, file)…]) of `CLASS… IMAGE`, or of `CLASS… --component NAME=FILE…`.

    Raises click.UsageError, Malformed.
    """
    if components:
        named = [_parse(text) for text in components]
        names = [name for name, _ in named]
        if len(set(names)) < len(names):
            raise Malformed("two components have one name; give each its own")
        return list(arguments), named
    *classes, image = arguments
    if not classes:
        raise click.UsageError("say CLASS and IMAGE, or CLASS and --component NAME=FILE")
    return classes, [(ONLY, _existing(image))]


def _parse(text: str) -> tuple[Name, Path]:
    name, equals, file = text.partition("=")
    parts = name.split("/")
    if not equals or len(parts) > _MOST_PARTS or not all(map(_is_part, parts)):
        raise Malformed(
            f"{text!r} is no component; write NAME=FILE, for example radio=radio.bin. A name has "
            f"1…{_MOST_PARTS} parts between slashes, of 1…{_MOST_BYTES} letters each"
        )
    return tuple(part.encode() for part in parts), _existing(file)


def _is_part(part: str) -> bool:
    return part.isascii() and part.isprintable() and 1 <= len(part) <= _MOST_BYTES


def _existing(file: str) -> Path:
    path = Path(file)
    if not path.exists() or path.is_dir():
        raise click.UsageError(f"there is no file {file}")
    return path


def measure_images(
    files: Sequence[tuple[Name, Path]], class_: ClassRecord, folder: Path, *, as_json: bool
) -> Images:
    """Digests and sizes, and the packed forms where devices of the class take them.

    Raises Malformed for what devices of the class cannot hold.
    """
    components: list[Component] = []
    stored: dict[bytes, Stored] = {}
    for name, path in files:
        plain = measure_image(path, class_)
        components.append(Component(name, plain.artifact.image, plain.artifact.size))
        forms = [plain]
        if Encoding.ZSTD in class_.limits.encodings:
            forms += pack_image(plain, folder, as_json=as_json)
        # Two components may have the same image, which is then stored once.
        stored |= {form.artifact.digest: form for form in forms}
    if len(stored) > MAX_ARTIFACTS:
        raise Malformed(f"{len(stored)} files; a release has at most {MAX_ARTIFACTS}")
    return Images(tuple(components), tuple(stored.values()))
