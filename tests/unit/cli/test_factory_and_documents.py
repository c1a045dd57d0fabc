# SPDX-License-Identifier: Apache-2.0
"""A factory's table of devices, and the documents that belong to a release."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from fieldpost.cli.factory_csv import parse_public_key, read_table
from fieldpost.cli.sbom import check_cyclonedx, read_sbom
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld

CLASS = bytes(16)
BOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "components": [{"type": "library", "name": "zlib", "version": "1.3"}],
}


def key_text(number: int = 0) -> str:
    return DeterministicSigner(Algorithm.ED25519, f"device {number}").public_key.raw.hex()


# --- tables ---


def test_keys_are_read_as_factories_write_them() -> None:
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    raw = edwards.public_bytes_raw()
    der = edwards.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = edwards.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    written = [raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode(), pem]
    written += [base64.b64encode(der).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
    assert {parse_public_key(text).raw for text in written} == {raw}

    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = curve.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = {parse_public_key(text) for text in (point.hex(), point[1:].hex(), pem)}
    assert [(key.algorithm, key.raw) for key in keys] == [(Algorithm.ESP256, point[1:])]


def test_a_private_key_in_a_table_is_called_what_it_is() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(Malformed, match="private key") as caught:
        parse_public_key(pem)
    assert pem.splitlines()[1] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "zz?", "ab" * 31, "AAAA"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_public_key(text)


def test_keys_of_other_kinds_are_refused() -> None:
    strange = rsa.generate_private_key(public_exponent=65_537, key_size=2_048).public_key()
    pem = strange.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(Malformed, match="P-256 or Ed25519"):
        parse_public_key(pem)


def test_scrap_is_left_out_and_counted() -> None:
    lines = [
        "date,serial,scrap,key",
        f"1 March,SN1,,{key_text(1)}",
        f"1 March,SN2,x,{key_text(2)}",
        f"1 March,SN3,No,{key_text(3)}",
        "1 March,SN4,burnt,",
    ]
    table = read_table(lines, CLASS)
    assert [leaf.serial for leaf in table.leaves] == ["SN1", "SN3"]
    assert table.scrapped == 2


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["serial,public", "a,b"], "no column 'key'"),
        ([], "no column 'serial'"),
        (["serial,key", "SN1,no-key!"], "line 2"),
        (["serial,key", f"SN1,{key_text()}", "SN2"], "line 3"),
        (["serial,key", f",{key_text()}"], "line 2"),
        (["serial,key", f"SN1,{'00' * 31}01"], "line 2"),
        (["serial,key", 'SN1,"unclosed'], "after line 1"),
    ],
)
def test_a_bad_line_is_named(lines: list[str], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        read_table(lines, CLASS)


def test_a_lot_is_enrolled_from_a_table_as_a_spreadsheet_saves_it(world: CliWorld) -> None:
    rows = [f"SN{n};{key_text(n)}".replace(";", ",") + "," for n in range(3)]
    rows.append(f"SN9,{key_text(9)},x")
    path = world.root / "march.csv"
    path.write_text("serial,key,scrap\r\n" + "\r\n".join(rows), encoding="utf-8-sig", newline="")
    made = world.call("lot", "enrol", "bulb:r1", "--csv", str(path))
    assert (made["devices"], made["scrapped"]) == (3, 1)
    assert world.call("lot", "enrol", "bulb:r1", "--csv", str(path))["index"] is None
    path.write_bytes("serial,key\nSN\xe9,aa".encode("latin-1"))
    with pytest.raises(Malformed, match="UTF-8"):
        world.call("lot", "enrol", "bulb:r1", "--csv", str(path))
    with pytest.raises(Misconfigured, match="--csv FILE"):
        world.call("lot", "enrol", "bulb:r1")


# --- documents ---


def test_an_sbom_and_notes_are_served_by_their_digests(world: CliWorld, tmp_path: Path) -> None:
    sbom, notes = tmp_path / "bom.json", tmp_path / "notes.txt"
    sbom.write_text(json.dumps(BOM))
    notes.write_text("quieter\n")
    image = tmp_path / "image.bin"
    image.write_bytes(b"image" * 100)
    made = world.call(
        *("release", "publish", "bulb:r1", str(image), "--version", "1.0"),
        *("--sbom", str(sbom), "--notes", str(notes)),
    )
    with HttpClient(world.url) as http:
        for name, path in (("sbom", sbom), ("notes", notes)):
            assert http.fetch(f"/v1/blobs/sha256/{made[name]}") == path.read_bytes()


def test_an_sbom_has_a_size_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a smaller limit than 64 MiB, so that the test needs no such file."""
    sbom = tmp_path / "bom.json"
    sbom.write_text(json.dumps(BOM))
    monkeypatch.setattr("fieldpost.cli.sbom.MOST_BYTES", sbom.stat().st_size)
    assert read_sbom(sbom).size == sbom.stat().st_size
    monkeypatch.setattr("fieldpost.cli.sbom.MOST_BYTES", sbom.stat().st_size - 1)
    with pytest.raises(Malformed, match="larger than"):
        read_sbom(sbom)


def test_a_broken_sbom_stops_a_release_before_anything_is_posted(
    world: CliWorld, tmp_path: Path
) -> None:
    sbom = tmp_path / "bom.json"
    sbom.write_text('{"bomFormat": "SPDX"}')
    with pytest.raises(Malformed, match="bomFormat"):
        world.publish("1.0", "--sbom", str(sbom))
    assert world.call("release", "list", "bulb:r1") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"specVersion": "9"}, "specVersion"),
        ({"version": 0}, "version"),
        ({"serialNumber": "7"}, "serialNumber"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"component": {"type": "firmware"}}}, r"metadata\.component\.name"),
        ({"components": {}}, "components"),
        ({"components": [{"type": "spell", "name": "x"}]}, r"components\[0\]\.type"),
        ({"components": [{"type": "file", "name": "x", "components": [1]}]}, "components"),
    ],
)
def test_members_that_every_sbom_has_are_looked_at(change: dict[str, object], words: str) -> None:
    check_cyclonedx(BOM)
    with pytest.raises(Malformed, match=words):
        check_cyclonedx(BOM | change)


def test_what_only_the_schema_knows_is_found_with_the_library(tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the extra `sbom` is not installed")
    pytest.importorskip("cyclonedx", reason="the extra `sbom` is not installed")
    path = tmp_path / "bom.json"
    path.write_text(json.dumps(BOM))
    assert read_sbom(path).size == path.stat().st_size
    path.write_text(json.dumps(BOM | {"colour": "blue"}))
    check_cyclonedx(BOM | {"colour": "blue"})
    with pytest.raises(Malformed, match="colour"):
        read_sbom(path)


def test_a_file_that_is_no_json_is_no_sbom(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    for data in (b"{", b"\xff\xfe", b"", b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(Malformed):
            read_sbom(path)


def test_one_image_is_published_for_several_classes(world: CliWorld, tmp_path: Path) -> None:
    world.call("class", "add", "bulb:r2", "--support-end", "2036-12-31")
    image = tmp_path / "image.bin"
    image.write_bytes(b"image" * 100)
    publish = ("release", "publish", "bulb:r1", "bulb:r2", str(image), "--version", "1.0")
    made = world.call(*publish)["releases"]
    assert len({release["manifest"] for release in made}) == 2
    assert len({release["class"] for release in made}) == 2
    assert [release["index"] for release in world.call(*publish)["releases"]] == [None, None]
