# SPDX-License-Identifier: Apache-2.0
"""Key ceremonies: rotation, keys on other machines, and what a thief's release does not gain."""

from pathlib import Path

import click
import pytest

from fieldpost import cbor
from fieldpost.checkin.manifests import verify_release
from fieldpost.cli.ceremony import Needed, decode_request, encode_signatures, request_of
from fieldpost.cli.words import describe, describe_change
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misconfigured, NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts.envelope import Statement
from fieldpost.records.device_class import DeviceLimits
from fieldpost.suit.envelope import decode_envelope
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld


def takes_the_offer(world: CliWorld) -> bool:
    """Whether a device that slept since the factory takes what is on offer now."""
    verified = world.check_in()
    assert verified.head is not None
    offer = verified.head.offers[0]
    with HttpClient(world.url) as http:
        envelope = http.fetch(f"/v1/manifests/{offer.manifest.hex()}", most_bytes=65_536)
    try:
        verify_release(
            envelope,
            offer,
            maker_id=verified.belief.maker,
            maker=verified.belief.maker_view(),
            class_id=bytes.fromhex(world.class_id),
            limits=DeviceLimits(),
        )
    except Untrusted as refused:
        return refused.reason != "manifest-threshold"
    return True


def test_a_rotated_release_key_signs_what_is_on_offer_in_the_same_ceremony(
    world: CliWorld,
) -> None:
    world.publish("1.0")
    world.offer("1=100%")
    assert takes_the_offer(world)

    done = world.call("maker", "rotate-keys", "--role", "release", "--no-passphrase")

    assert done["signed_again"] == ["bulb:r1 1"]
    assert takes_the_offer(world)
    assert [path.name for path in (world.home / "keys/retired").iterdir()] == ["release-1.pem"]
    assert world.publish("1.1") == 2


def test_a_release_outlives_more_keys_than_an_envelope_holds(world: CliWorld) -> None:
    """Signatures of keys that are gone are not carried along for ever."""
    world.publish("1.0")
    world.offer("1=100%")
    for _ in range(2):
        world.call("maker", "rotate-keys", "--role", "release", "--no-passphrase")
    (kept,) = (world.home / "manifests").iterdir()
    assert len(decode_envelope(kept.read_bytes()).blocks) == 1
    assert takes_the_offer(world)


def test_an_interrupted_rotation_goes_on(world: CliWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off after the board took the new record: devices refuse the old signatures until then."""
    world.publish("1.0")
    world.offer("1=100%")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("fieldpost.cli.rotation.Rotation.adopt", cut)
        with pytest.raises((KeyboardInterrupt, click.Abort)):
            world.call("maker", "rotate-keys", "--role", "release", "--no-passphrase")
    assert not takes_the_offer(world)

    done = world.call("maker", "rotate-keys")

    assert done["rotated"] == ["release"]
    assert takes_the_offer(world)
    assert world.call("maker", "rotate-keys")["signed_again"] == []


def test_a_rotation_does_not_bless_what_a_thief_published(world: CliWorld) -> None:
    """A release that was not signed on this machine stays unsigned, and is named."""
    world.publish("1.0")
    world.offer("1=100%")
    for path in (world.home / "manifests").iterdir():
        path.unlink()

    done = world.call("maker", "rotate-keys", "--role", "release", "--no-passphrase")

    assert done["signed_again"] == []
    assert done["left_unsigned"] == ["bulb:r1 1"]
    assert not takes_the_offer(world)


def test_roots_on_other_machines_sign_offline(world: CliWorld, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    for name in ("root-2.pem", "root-3.pem"):
        (world.home / "keys" / name).rename(vault / name)
    unsigned, signatures = tmp_path / "r.unsigned", tmp_path / "r.signatures"
    rotate = ("maker", "rotate-keys", "--role", "root", "--no-passphrase")
    exported = world.call(*rotate, "--export-unsigned", str(unsigned))
    assert exported["still_needed"] == ["2 of 3 old root keys"]

    signed = world.call(
        *("maker", "sign", str(unsigned), "--out", str(signatures), "--yes"),
        *("--key", str(vault / "root-3.pem")),
    )
    assert len(signed["keys"]) == 1
    signs = [line[: len("root keys: -")] for line in signed["changes"]]
    assert signs == ["root keys: -"] * 3 + ["root keys: +"] * 3, "three keys go and three come"
    assert world.call("maker", "import", str(signatures))["kind"] == "maker.set"
    with pytest.raises(NotFound, match="no more signatures are needed"):
        world.call("maker", "import", str(signatures))
    assert world.call("maker", "rotate-keys")["rotated"] == ["root"]

    assert world.check_in().belief.maker_view().epoch == 1
    assert world.call("maker", "set-policy", "--max-age-days", "3")["max_age_s"] == 3 * 86_400


def test_too_few_roots_say_how_to_bring_the_others_in(world: CliWorld) -> None:
    for name in ("root-2.pem", "root-3.pem"):
        (world.home / "keys" / name).unlink()
    with pytest.raises(Misconfigured, match="--export-unsigned FILE"):
        world.call("maker", "set-policy", "--max-age-days", "3")


def test_an_abandoned_rotation_leaves_the_old_keys_in_use(world: CliWorld, tmp_path: Path) -> None:
    out = str(tmp_path / "r.unsigned")
    rotate = ("maker", "rotate-keys", "--role", "release", "--no-passphrase")
    world.call(*rotate, "--export-unsigned", out)
    with pytest.raises(Misconfigured, match="under way"):
        world.call(*rotate)

    world.call("maker", "rotate-keys", "--abandon")

    assert world.publish("1.0") == 1
    with pytest.raises(Misconfigured, match="no rotation"):
        world.call("maker", "rotate-keys", "--abandon")


def test_signatures_of_nobody_wanted_are_refused(world: CliWorld, tmp_path: Path) -> None:
    unsigned, strange = tmp_path / "r.unsigned", tmp_path / "s.signatures"
    world.call("maker", "set-policy", "--contact", "me", "--export-unsigned", str(unsigned))
    request = decode_request(unsigned.read_bytes())
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    own = request_of(request.statement, [Needed("stranger", 1, (stranger.public_key,))])
    strange.write_bytes(encode_signatures(request.digest, [own.sign(stranger)]))
    with pytest.raises(Untrusted, match="no key that this post needs"):
        world.call("maker", "import", str(strange))
    strange.write_bytes(encode_signatures(bytes(32), [own.sign(stranger)]))
    with pytest.raises(NotFound, match="nothing here waits"):
        world.call("maker", "import", str(strange))
    with pytest.raises(NotFound, match="none of 0 key files"):
        world.call(
            *("maker", "sign", str(unsigned), "--out", str(strange), "--yes"),
            *("--home", str(tmp_path / "elsewhere")),
        )


def test_a_signature_over_other_words_is_refused() -> None:
    signer = DeterministicSigner(Algorithm.ED25519, "root")
    needed = [Needed("root keys", 1, (signer.public_key,))]

    def statement(payload: bytes) -> Statement:
        return Statement(kind="k", issuer="i", subject="s", audience="a", payload=payload)

    shown, meant = request_of(statement(b"1"), needed), request_of(statement(b"2"), needed)
    assert shown.verify(shown.sign(signer)) == shown.sign(signer)
    with pytest.raises(Untrusted):
        shown.verify(meant.sign(signer))


def test_a_request_survives_its_file() -> None:
    keys = [DeterministicSigner(Algorithm.ESP256, f"root {n}").public_key for n in range(3)]
    statement = Statement(kind="k", issuer="i", subject="s", audience="a", payload=b"p")
    request = request_of(statement, [Needed("root keys", 2, tuple(keys))], previous=b"entry")
    assert decode_request(request.encode()) == request
    assert not request.alone
    with pytest.raises(Malformed):
        decode_request(cbor.encode(["fieldpost/unsigned", 2]))


def test_whoever_signs_is_shown_what_really_changes(world: CliWorld, tmp_path: Path) -> None:
    """The former record is part of the file; another one than the link names is refused."""
    unsigned = tmp_path / "p.unsigned"
    world.call("maker", "set-policy", "--grace-days", "30", "--export-unsigned", str(unsigned))
    request = decode_request(unsigned.read_bytes())
    assert request.previous is not None
    assert request.statement is not None
    assert describe_change(request.statement, request.previous) == [
        f"policy grace s: {90 * 86_400} -> {30 * 86_400}"
    ]
    with pytest.raises(Malformed, match="another former record"):
        describe_change(request.statement, world.provisioning.read_bytes())


def test_a_kind_without_words_is_not_signed() -> None:
    statement = Statement(kind="coffee.make", issuer="i", subject="s", audience="a", payload=b"")
    with pytest.raises(Malformed, match="sign nothing"):
        describe(statement)


def test_the_recovery_sheet_names_every_root_key_and_no_secret(world: CliWorld) -> None:
    sheet = (world.home / "recovery.txt").read_text()
    assert world.board in sheet
    for name in ("root-1.pem", "root-2.pem", "root-3.pem"):
        assert name in sheet
        secret = (world.home / "keys" / name).read_text().splitlines()[1]
        assert secret not in sheet
        assert secret not in world.text("maker", "recovery")
        assert secret in world.text("maker", "recovery", "--with-secrets")
