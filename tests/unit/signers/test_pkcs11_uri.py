# SPDX-License-Identifier: Apache-2.0
"""`pkcs11:` URIs: what they name, and that a PIN in one is refused and not repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Misconfigured
from fieldpost.signers.pkcs11_uri import TokenUri, parse_token_uri

WORDS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_token_key_module_and_pin_file_are_read() -> None:
    uri = parse_token_uri(
        "pkcs11:token=The%20board;object=log;id=%01%ff;type=private"
        "?module-path=/usr/lib/m.so&pin-source=file:/etc/pin"
    )
    assert uri == TokenUri(
        token="The board",
        object="log",
        id=b"\x01\xff",
        module_path="/usr/lib/m.so",
        pin_source="file:/etc/pin",
    )
    assert uri.names_key
    assert not parse_token_uri("pkcs11:serial=12").names_key


@given(
    uri=st.builds(
        TokenUri,
        token=WORDS,
        serial=WORDS,
        manufacturer=WORDS,
        model=WORDS,
        object=WORDS,
        id=st.none() | st.binary(min_size=1, max_size=20),
        module_path=WORDS,
        pin_source=WORDS,
    )
)
def test_what_is_written_is_read_as_it_was(uri: TokenUri) -> None:
    text = uri.format()
    if len(text) <= 2_048 and "pin-value" not in text:
        assert parse_token_uri(text) == uri


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file:/key", "written pkcs11:token="),
        ("pkcs11:tokn=x", "'tokn' is not known"),
        ("pkcs11:token=a;token=b", "token is there twice"),
        ("pkcs11:token=", "token has no value"),
        ("pkcs11:token=a b", "to be percent-encoded"),
        ("pkcs11:token=%zz", "to be percent-encoded"),
        ("pkcs11:token=%ff", "UTF-8"),
        ("pkcs11:token=a;type=cert", "type=private"),
        ("pkcs11:token=a?module-name=opensc", "'module-name' is not known"),
        ("pkcs11:" + "token=" + "a" * 3_000, "written pkcs11:token="),
    ],
)
def test_what_cannot_be_read_is_said(text: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        parse_token_uri(text)


def test_a_pin_in_a_uri_is_refused_and_not_repeated() -> None:
    with pytest.raises(Misconfigured, match="pin-source=file:") as caught:
        parse_token_uri("pkcs11:token=a?pin-value=314159")
    assert "314159" not in str(caught.value)
