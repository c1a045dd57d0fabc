# SPDX-License-Identifier: Apache-2.0
"""Documents that belong to a release: its SBOM and its notes, named by their digests.

An SBOM is CycloneDX JSON. Where the optional library is installed (`pip install 'fieldpost[sbom]'`)
it is validated against the schema; everywhere, its required members are looked at.
"""

import importlib
import json
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.errors import Malformed

MOST_BYTES: Final = 64 * 1024 * 1024
_TYPES: Final = frozenset(
    (
        *("application", "framework", "library", "container", "platform", "operating-system"),
        *("device", "device-driver", "firmware", "file", "machine-learning-model", "data"),
        "cryptographic-asset",
    )
)
_SERIAL: Final = re.compile(
    r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_VERSIONS: Final = frozenset({"1.2", "1.3", "1.4", "1.5", "1.6", "1.7"})


@dataclass(frozen=True, slots=True)
class Document:
    """A file, and the SHA-256 that the release record names."""

    path: Path
    digest: bytes
    size: int


def read_document(path: Path) -> Document:
    """Any file of at most 64 MiB. Raises Malformed."""
    data = _read(path)
    return Document(path, sha256(data).digest(), len(data))


def read_sbom(path: Path) -> Document:
    """A CycloneDX JSON file. Raises Malformed with the member that is wrong."""
    data = _read(path)
    try:
        check_cyclonedx(json.loads(data))
        _check_schema(data.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{path} is no JSON: {error}") from error
    except Malformed as error:
        raise Malformed(f"{path} is no CycloneDX: {error}") from error
    return Document(path, sha256(data).digest(), len(data))


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if not 1 <= len(data) <= MOST_BYTES:
        raise Malformed(f"{path} is empty or larger than {MOST_BYTES} bytes")
    return data


def check_cyclonedx(value: object) -> None:
    """The members that every CycloneDX document must have. Raises Malformed."""
    if not isinstance(value, dict) or value.get("bomFormat") != "CycloneDX":
        raise Malformed('"bomFormat" must be "CycloneDX"')
    if value.get("specVersion") not in _VERSIONS:
        raise Malformed(f'"specVersion" must be one of {sorted(_VERSIONS)}')
    version = value.get("version", 1)
    if type(version) is not int or version < 1:
        raise Malformed('"version" must be a number from 1 on')
    serial = value.get("serialNumber")
    if serial is not None and not (isinstance(serial, str) and _SERIAL.fullmatch(serial)):
        raise Malformed('"serialNumber" must be urn:uuid:…')
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Malformed('"metadata" must be an object')
    if "component" in metadata:
        _check_component(metadata["component"], "metadata.component")
    _check_components(value.get("components", []), "components")


def _check_components(value: object, where: str) -> None:
    if not isinstance(value, list):
        raise Malformed(f'"{where}" must be an array')
    for number, component in enumerate(value):
        _check_component(component, f"{where}[{number}]")


def _check_component(value: object, where: str) -> None:
    if not isinstance(value, dict):
        raise Malformed(f'"{where}" must be an object')
    if value.get("type") not in _TYPES:
        raise Malformed(f'"{where}.type" must be one of {sorted(_TYPES)}')
    if not isinstance(value.get("name"), str):
        raise Malformed(f'"{where}.name" must be text')
    if "components" in value:
        _check_components(value["components"], f"{where}.components")


def _check_schema(text: str) -> None:
    # Looked up by name, since the library is optional.
    try:
        schema = importlib.import_module("cyclonedx.schema")
        validation = importlib.import_module("cyclonedx.validation.json")
        optional = importlib.import_module("cyclonedx.exception").MissingOptionalDependencyException
    except ModuleNotFoundError:
        return
    version = schema.SchemaVersion.from_version(json.loads(text)["specVersion"])
    try:
        error = validation.JsonStrictValidator(version).validate_str(text)
    except optional:
        return
    if error is not None:
        raise Malformed(str(error.data.message))
