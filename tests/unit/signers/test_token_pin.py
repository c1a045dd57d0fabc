# SPDX-License-Identifier: Apache-2.0
"""A PIN comes from a private file or a person, in a fixed order, and from nowhere else."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.signers.pkcs11_uri import TokenUri
from fieldpost.signers.token_pin import find_pin


def private(path: Path, content: bytes = b"1234\n") -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_the_uri_comes_before_the_environment_which_comes_before_a_person(tmp_path: Path) -> None:
    first, second = private(tmp_path / "a", b"first\r\n"), private(tmp_path / "b", b"second")
    environment = {"FIELDPOST_PIN_FILE": str(second)}
    named = TokenUri(token="t", pin_source=f"file:{first}")
    assert find_pin(named, environment, None) == "first"
    assert find_pin(TokenUri(token="t", pin_source=f"file://{first}"), {}, None) == "first"
    assert find_pin(TokenUri(token="t", pin_source=str(first)), {}, None) == "first"
    assert find_pin(TokenUri(token="t"), environment, lambda _: "asked") == "second"
    assert find_pin(TokenUri(token="t"), {}, lambda token: f"of {token}") == "of t"


def test_without_anybody_to_ask_it_says_where_to_write_the_pin() -> None:
    with pytest.raises(Misconfigured, match="pin-source=file:/path, or FIELDPOST_PIN_FILE"):
        find_pin(TokenUri(token="t"), {}, None)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "1 to 256 bytes"), (b"\n", "1 to 256"), (b"1" * 257, "1 to 256"), (b"\xff", "no text")],
)
def test_what_is_no_pin_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = private(tmp_path / "pin", content)
    with pytest.raises(Misconfigured, match=says):
        find_pin(TokenUri(pin_source=str(path)), {}, None)


def test_a_pin_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "pin", b"27182818")
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600") as caught:
        find_pin(TokenUri(pin_source=str(path)), {}, None)
    assert "27182818" not in str(caught.value)
    with pytest.raises(Misconfigured, match="cannot read the PIN file"):
        find_pin(TokenUri(pin_source=str(tmp_path / "none")), {}, None)
