# SPDX-License-Identifier: Apache-2.0
"""Key files: encrypted or private, never overwritten, and plain about what is wrong."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from fieldpost.errors import Conflict, Misconfigured, Unavailable
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import load_key_file, save_key_file
from fieldpost.signers.pkcs8 import format_private_key
from fieldpost.signers.software import SoftwareSigner
from fieldpost.testing.faults import FaultyDisk

every_algorithm = pytest.mark.parametrize("algorithm", Algorithm, ids=lambda a: a.name)


def never_asked() -> bytes:
    raise AssertionError("the passphrase of an unencrypted file was asked for")


@every_algorithm
@pytest.mark.parametrize("passphrase", [None, b"correct horse", "Gärtnerstraße".encode()])
def test_a_saved_key_loads_again(
    algorithm: Algorithm, passphrase: bytes | None, tmp_path: Path
) -> None:
    signer = SoftwareSigner.generate(algorithm)
    save_key_file(tmp_path / "key.pem", signer, passphrase)
    source = never_asked if passphrase is None else lambda: passphrase
    assert load_key_file(tmp_path / "key.pem", source).public_key == signer.public_key


@pytest.mark.parametrize("passphrase", [None, b"correct horse"])
def test_a_key_file_is_its_owners_alone(passphrase: bytes | None, tmp_path: Path) -> None:
    save_key_file(tmp_path / "key.pem", SoftwareSigner.generate(Algorithm.ED25519), passphrase)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_an_encrypted_file_does_not_hold_the_key_in_the_clear(tmp_path: Path) -> None:
    signer = SoftwareSigner.generate(Algorithm.ED25519)
    plain = format_private_key(signer.to_pkcs8(), None).splitlines()[1]
    save_key_file(tmp_path / "plain.pem", signer, None)
    save_key_file(tmp_path / "key.pem", signer, b"correct horse")
    assert plain in (tmp_path / "plain.pem").read_bytes(), "control"
    assert plain not in (tmp_path / "key.pem").read_bytes()


def test_the_same_key_is_encrypted_differently_each_time() -> None:
    der = SoftwareSigner.generate(Algorithm.ED25519).to_pkcs8()
    assert format_private_key(der, b"x") != format_private_key(der, b"x")


@every_algorithm
def test_a_wrong_passphrase_is_said_plainly(algorithm: Algorithm, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    save_key_file(path, SoftwareSigner.generate(algorithm), b"correct horse")
    with pytest.raises(Misconfigured, match=r"passphrase does not open .*key\.pem") as caught:
        load_key_file(path, lambda: b"battery staple")
    assert "staple" not in str(caught.value)


def test_an_empty_passphrase_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="empty"):
        save_key_file(tmp_path / "key.pem", SoftwareSigner.generate(Algorithm.ED25519), b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_file_that_others_may_use_is_refused_with_the_command(
    mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    save_key_file(path, SoftwareSigner.generate(Algorithm.ED25519), None)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match=rf"chmod 600 {path}"):
        load_key_file(path, never_asked)


def test_an_existing_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    first = SoftwareSigner.generate(Algorithm.ED25519)
    save_key_file(path, first, None)
    with pytest.raises(Conflict):
        save_key_file(path, SoftwareSigner.generate(Algorithm.ED25519), None)
    assert load_key_file(path, never_asked).public_key == first.public_key


def test_a_full_disk_leaves_no_half_a_key(tmp_path: Path) -> None:
    disk = FaultyDisk(fail_at=1)
    with pytest.raises(Unavailable):
        save_key_file(
            tmp_path / "key.pem", SoftwareSigner.generate(Algorithm.ED25519), None, disk=disk
        )
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_key_file_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no key file"):
        load_key_file(tmp_path / "absent.pem", never_asked)
    path = tmp_path / "key.pem"
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="is no key file"):
        load_key_file(path, never_asked)


def test_openssl_opens_an_encrypted_file_and_we_open_its_own(tmp_path: Path) -> None:
    """The format is the standard one: a maker can leave with other tools."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not installed")
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    signer = SoftwareSigner.generate(Algorithm.ED25519)
    save_key_file(ours, signer, b"correct horse")
    with_key = [openssl, "pkey", "-in", str(ours), "-passin", "pass:correct horse"]
    shown = subprocess.run(
        [*with_key, "-pubout", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert shown.endswith(signer.public_key.raw)
    encrypt = ["-aes-256-cbc", "-passout", "pass:battery staple", "-out", str(theirs)]
    subprocess.run([*with_key, *encrypt], capture_output=True, check=True)
    theirs.chmod(0o600)
    assert load_key_file(theirs, lambda: b"battery staple").public_key == signer.public_key
