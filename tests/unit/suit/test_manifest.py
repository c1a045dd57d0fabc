# SPDX-License-Identifier: Apache-2.0
"""Profile 1 of the manifest: one shape, limits on everything, precise refusals."""

from collections.abc import Callable
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.suit.manifest import (
    Component,
    Manifest,
    decode_manifest,
    digest_uri,
    encode_manifest,
)

VENDOR, CLASS = bytes(range(16)), bytes(range(16, 32))
ONE = Component((b"main",), b"\x11" * 32, 1000)
TWO = Component((b"net", b"\x00"), b"\x22" * 32, 2**32 - 1)
PLAIN = Manifest(7, VENDOR, CLASS, (ONE, TWO), b"\x33" * 32)


def test_the_shape_is_the_one_of_the_specification() -> None:
    top: Any = cbor.decode(encode_manifest(PLAIN))
    assert set(top) == {1, 2, 3, 7, 20, 23}
    assert (top[1], top[2], top[23]) == (1, 7, (-16, b"\x33" * 32))
    common: Any = cbor.decode(top[3])
    assert common[2] == ((b"main",), (b"net", b"\x00"))
    digests = [cbor.encode([-16, component.digest]) for component in (ONE, TWO)]
    assert cbor.decode(common[4]) == (
        *(20, {1: VENDOR, 2: CLASS}, 1, 15, 2, 15),
        *(12, 0, 20, {3: digests[0], 14: 1000}),
        *(12, 1, 20, {3: digests[1], 14: 2**32 - 1}),
    )
    assert cbor.decode(top[7]) == (12, 0, 3, 15, 12, 1, 3, 15)
    assert cbor.decode(top[20]) == (
        *(12, 0, 20, {21: digest_uri(ONE.digest)}, 21, 15, 3, 15),
        *(12, 1, 20, {21: digest_uri(TWO.digest)}, 21, 15, 3, 15),
    )


def test_the_uri_is_the_one_of_rfc_6920() -> None:
    """The digest of "Hello World!" and its URI stand in RFC 6920 §8.1."""
    digest = bytes.fromhex("7f83b1657ff1fc53b92dc18148a1d65dfc2d4b1fa3d677284addd200126d9069")
    assert digest_uri(digest) == "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"


def test_a_small_manifest_is_small() -> None:
    assert len(encode_manifest(Manifest(1, VENDOR, CLASS, (ONE,)))) <= 220


def test_sixteen_components_of_the_largest_size_fit_the_largest_envelope() -> None:
    many = tuple(
        Component((bytes([i]) * 32,) * 4, bytes([i]) * 32, 2**32 - 1, b"e" * 256) for i in range(16)
    )
    assert len(encode_manifest(Manifest(2**63 - 1, VENDOR, CLASS, many))) <= 16_384 - 4_096


def test_an_encrypted_image_is_refused_by_a_reader_that_cannot_decrypt() -> None:
    secret = Manifest(7, VENDOR, CLASS, (ONE, Component((b"x",), b"\x44" * 32, 5, b"\xd8\x60")))
    data = encode_manifest(secret)
    with pytest.raises(Untrusted, match="unsupported: install: an image is encrypted"):
        decode_manifest(data)
    assert decode_manifest(data, decrypts=True) == secret


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Component((), b"\x11" * 32, 1), "component id"),
        (lambda: Component((b"a",) * 5, b"\x11" * 32, 1), "component id"),
        (lambda: Component((b"",), b"\x11" * 32, 1), "component id"),
        (lambda: Component((b"a" * 33,), b"\x11" * 32, 1), "component id"),
        (lambda: Component((b"a",), b"\x11" * 31, 1), "digest"),
        (lambda: Component((b"a",), b"\x11" * 32, 0), "size"),
        (lambda: Component((b"a",), b"\x11" * 32, 2**32), "size"),
        (lambda: Component((b"a",), b"\x11" * 32, 1, b""), "encryption info"),
        (lambda: Component((b"a",), b"\x11" * 32, 1, b"e" * 1025), "encryption info"),
        (lambda: Manifest(0, VENDOR, CLASS, (ONE,)), "sequence"),
        (lambda: Manifest(2**63, VENDOR, CLASS, (ONE,)), "sequence"),
        (lambda: Manifest(1, VENDOR[1:], CLASS, (ONE,)), "UUID"),
        (lambda: Manifest(1, VENDOR, CLASS + b"\x00", (ONE,)), "UUID"),
        (lambda: Manifest(1, VENDOR, CLASS, ()), "components"),
        (lambda: Manifest(1, VENDOR, CLASS, (ONE,) * 17), "components"),
        (lambda: Manifest(1, VENDOR, CLASS, (ONE, ONE)), "more than once"),
        (lambda: Manifest(1, VENDOR, CLASS, (ONE,), b"\x33" * 20), "text"),
    ],
)
def test_nothing_outside_the_limits_can_be_made(make: Callable[[], object], why: str) -> None:
    with pytest.raises(Malformed, match=why):
        make()


Edit = Callable[[dict[Any, Any], dict[Any, Any], list[Any], list[Any], list[Any]], None]


def edited(edit: Edit) -> bytes:
    """The manifest of one component after an edit of its decoded parts."""
    top: Any = cbor.decode(encode_manifest(Manifest(7, VENDOR, CLASS, (ONE,))))
    common: Any = cbor.decode(top.pop(3))
    shared: Any = list(cbor.decode(common.pop(4)))  # type: ignore[arg-type]
    validate: Any = list(cbor.decode(top.pop(7)))  # type: ignore[arg-type]
    install: Any = list(cbor.decode(top.pop(20)))  # type: ignore[arg-type]
    edit(top, common, shared, validate, install)
    common = {4: cbor.encode(shared)} | common
    top = {3: cbor.encode(common), 7: cbor.encode(validate), 20: cbor.encode(install)} | top
    return cbor.encode({label: value for label, value in top.items() if value != "gone"})


def test_control_the_unedited_manifest_is_read() -> None:
    assert decode_manifest(edited(lambda *_: None)) == Manifest(7, VENDOR, CLASS, (ONE,))


URI = digest_uri(ONE.digest)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda t, c, s, v, i: t.update({1: 2}), "manifest version 2, not 1"),
        (lambda t, c, s, v, i: t.update({9: b"\x80"}), "manifest: label 9 is not in profile 1"),
        (lambda t, c, s, v, i: t.update({-1: 0}), "manifest: label -1 is not in profile 1"),
        (lambda t, c, s, v, i: t.update({7: "gone"}), "profile 1 demands label 7"),
        (lambda t, c, s, v, i: t.update({23: (-44, b"d" * 32)}), "digest algorithm -44"),
        (lambda t, c, s, v, i: c.update({1: {}}), "common: label 1 is not in profile 1"),
        (lambda t, c, s, v, i: s.clear(), "shared sequence, command 1: must be 20, but .* ends"),
        (lambda t, c, s, v, i: s[1].pop(1), "command 1: lacks parameter 1"),
        (lambda t, c, s, v, i: s[1].update({24: b"d" * 16}), "parameter 24 has no place here"),
        (lambda t, c, s, v, i: s.__setitem__(2, 24), "command 2: must be 1, not 24"),
        (lambda t, c, s, v, i: s.__setitem__(3, 2), "command 2: argument must be 15, not 2"),
        (lambda t, c, s, v, i: s.__setitem__(7, 1), "command 4: argument must be 0, not 1"),
        (lambda t, c, s, v, i: s.__setitem__(7, True), "command 4: argument must be 0, not True"),
        (lambda t, c, s, v, i: s[9].pop(14), "command 5: lacks parameter 14"),
        (lambda t, c, s, v, i: s.extend((15, ())), "command 6: must be the end, not 15"),
        (lambda t, c, s, v, i: s.insert(0, s.pop()), "command 1: must be 20"),
        (lambda t, c, s, v, i: v.clear(), "validate, command 1: must be 12, but"),
        (lambda t, c, s, v, i: v.extend((14, 15)), "validate, command 3: must be the end"),
        (lambda t, c, s, v, i: i[3].update({21: "http://a/"}), "component 0's uri must be"),
        (lambda t, c, s, v, i: i[3].update({22: 0}), "parameter 22 has no place here"),
        (lambda t, c, s, v, i: i.__setitem__(4, 22), "install, command 3: must be 21, not 22"),
        (lambda t, c, s, v, i: t.update({1: True}), "not written as profile 1"),
    ],
)
def test_another_manifest_is_refused_and_the_place_is_named(edit: Edit, why: str) -> None:
    with pytest.raises(Untrusted, match=why) as refusal:
        decode_manifest(edited(edit))
    assert refusal.value.reason == "unsupported"


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda t, c, s, v, i: t.update({2: "7"}), "sequence must be an integer"),
        (lambda t, c, s, v, i: t.update({2: True}), "sequence must be an integer"),
        (lambda t, c, s, v, i: t.update({2: -1}), "sequence must be in"),
        (lambda t, c, s, v, i: t.update({3: 0}), "common must be a byte string"),
        (lambda t, c, s, v, i: t.update({20: (-16, b"d" * 32)}), "install must be a byte string"),
        (lambda t, c, s, v, i: t.update({23: b""}), "text must be a SUIT_Digest"),
        (lambda t, c, s, v, i: t.update({23: (-16, b"d")}), "digest of 1 bytes"),
        (lambda t, c, s, v, i: c.update({2: ()}), "components must be an array"),
        (lambda t, c, s, v, i: c.update({2: (b"main",)}), "component id must be an array"),
        (lambda t, c, s, v, i: c.update({2: (("main",),)}), "must be a byte string"),
        (lambda t, c, s, v, i: s.pop(), "array of commands and arguments"),
        (lambda t, c, s, v, i: s.__setitem__(1, ()), "parameters must be a map"),
        (lambda t, c, s, v, i: s[1].update({1: "v"}), "vendor must be a byte string"),
        (lambda t, c, s, v, i: s[9].update({14: b""}), "image size must be an integer"),
        (lambda t, c, s, v, i: s[9].update({3: b""}), "CBOR"),
        (lambda t, c, s, v, i: i[3].update({19: ""}), "encryption info must be a byte string"),
    ],
)
def test_what_is_no_suit_manifest_is_malformed(edit: Edit, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode_manifest(edited(edit))


def test_an_array_is_no_manifest() -> None:
    with pytest.raises(Malformed, match="manifest must be a map"):
        decode_manifest(b"\x80")
