# SPDX-License-Identifier: Apache-2.0
"""Releases that holders sign on several machines; releases of several images."""

from pathlib import Path

import click
import pytest

from fieldpost.checkin.manifests import verify_release
from fieldpost.cli.ceremony import decode_request, request_of
from fieldpost.cli.words import describe_manifest
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Conflict, Malformed, Misconfigured, Untrusted
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Conditions
from fieldpost.suit.envelope import decode_envelope
from fieldpost.suit.manifest import Manifest, decode_manifest
from tests.unit.cli.cli_world import CliWorld, cli_world


def served(world: CliWorld) -> Manifest:
    """The manifest on offer, judged as a device judges it that slept since the factory."""
    verified = world.check_in()
    assert verified.head is not None
    offer = verified.head.offers[0]
    with HttpClient(world.url) as http:
        envelope = http.fetch(f"/v1/manifests/{offer.manifest.hex()}", most_bytes=65_536)
    verify_release(
        envelope,
        offer,
        maker_id=verified.belief.maker,
        maker=verified.belief.maker_view(),
        class_id=bytes.fromhex(world.class_id),
        limits=DeviceLimits(),
    )
    return decode_manifest(decode_envelope(envelope).manifest)


def sign(world: CliWorld, unsigned: Path, key: Path) -> Path:
    signatures = unsigned.with_suffix(".signatures")
    words = ("maker", "sign", str(unsigned), "--key", str(key), "--out", str(signatures), "--yes")
    world.call(*words)
    return signatures


def away(world: CliWorld, name: str, tmp_path: Path) -> Path:
    """A key file moves to another machine."""
    vault = tmp_path / name
    (world.home / "keys" / name).rename(vault)
    return vault


def test_two_of_three_holders_release_on_two_machines(tmp_path: Path) -> None:
    with cli_world(tmp_path) as world:
        world.with_maker("--releases", "2-of-3")
        second = away(world, "release-2.pem", tmp_path)
        away(world, "release-3.pem", tmp_path)
        image = tmp_path / "1.0.bin"
        image.write_bytes(b"image" * 100)
        publish = ("release", "publish", "bulb:r1", str(image), "--version", "1.0")
        with pytest.raises(Misconfigured, match="2 of 3 release keys"):
            world.call(*publish)

        unsigned = tmp_path / "release.unsigned"
        made = world.call(*publish, "--export-unsigned", str(unsigned))
        assert (made["signed_here"], made["still_needed"]) == (1, ["2 of 3 release keys"])
        signatures = sign(world, unsigned, second)
        assert world.call("maker", "import", str(signatures))["kind"] == "release.publish"

        assert world.call(*publish)["index"] is None
        world.offer("1=100%")
        assert served(world).sequence == 1
        assert world.call("release", "list", "bulb:r1")[0]["manifest_stored"]


def test_a_published_release_is_signed_again_by_holders_elsewhere(tmp_path: Path) -> None:
    """One key more must sign by now: first the manifest travels, then the post."""
    with cli_world(tmp_path) as world:
        world.with_maker()
        world.publish("1.0")
        world.offer("1=100%")
        rotate = ("maker", "rotate-keys", "--role", "release", "--releases", "2-of-2")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("fieldpost.cli.resigning._offered", lambda *_: [])
            world.call(*rotate, "--no-passphrase")
        with pytest.raises(Untrusted, match="manifest-threshold"):
            served(world)
        second = away(world, "release-2.e1.pem", tmp_path)
        again = ("release", "sign", "bulb:r1", "1", "--yes")
        with pytest.raises(Misconfigured, match="2 of 2 release keys"):
            world.call(*again)

        unsigned = tmp_path / "manifest.unsigned"
        world.call(*again, "--export-unsigned", str(unsigned))
        assert decode_request(unsigned.read_bytes()).statement is None
        # By the two keys of now; what the key before signed counts no more.
        assert world.call("maker", "import", str(sign(world, unsigned, second)))["signatures"] == 2
        with pytest.raises(Misconfigured, match="2 of 2 release keys"):
            world.call(*again)
        unsigned = tmp_path / "post.unsigned"
        world.call(*again, "--export-unsigned", str(unsigned))
        assert decode_request(unsigned.read_bytes()).manifest is None
        world.call("maker", "import", str(sign(world, unsigned, second)))

        assert served(world).sequence == 1


def test_a_rotation_to_a_higher_threshold_signs_what_is_on_offer(world: CliWorld) -> None:
    world.publish("1.0")
    world.offer("1=100%")
    rotate = ("maker", "rotate-keys", "--role", "release", "--releases", "3-of-4")
    assert world.call(*rotate, "--no-passphrase")["signed_again"] == ["bulb:r1 1"]
    assert served(world).sequence == 1


def test_whoever_signs_a_release_sees_its_images(world: CliWorld, tmp_path: Path) -> None:
    image, unsigned = tmp_path / "i.bin", tmp_path / "r.unsigned"
    image.write_bytes(b"image" * 100)
    publish = ("release", "publish", "bulb:r1", str(image), "--version", "1.0")
    world.call(*publish, "--export-unsigned", str(unsigned))
    said = world.call(
        *("maker", "sign", str(unsigned), "--out", str(tmp_path / "s"), "--yes"),
        *("--key", str(world.home / "keys/release-1.pem")),
    )["says"]
    assert (said["kind"], said["release_kind"]) == ("release.publish", "feature")
    assert said["release_sequence"] == 1
    assert said["installs"][0].startswith("image sha256 ")


def test_another_manifest_than_the_release_names_is_not_signed(
    world: CliWorld, tmp_path: Path
) -> None:
    """Whoever carries the file cannot have a different image signed under the post's words."""
    requests = []
    for name in ("one", "two"):
        image, unsigned = tmp_path / name, tmp_path / f"{name}.unsigned"
        image.write_bytes(name.encode() * 100)
        publish = ("release", "publish", "bulb:r1", str(image), "--version", name)
        world.call(*publish, "--export-unsigned", str(unsigned))
        requests.append(decode_request(unsigned.read_bytes()))
    one, two = requests
    assert one.manifest is not None
    assert describe_manifest(one.manifest, one.statement)["release_sequence"] == 1
    with pytest.raises(Malformed, match="another manifest"):
        describe_manifest(one.manifest, two.statement)
    forged = request_of(one.statement, one.needed, manifest=two.manifest)
    (tmp_path / "f.unsigned").write_bytes(forged.encode())
    with pytest.raises(Malformed, match="another manifest"):
        sign(world, tmp_path / "f.unsigned", world.home / "keys/release-1.pem")


def test_half_of_what_is_asked_for_is_refused(world: CliWorld, tmp_path: Path) -> None:
    image, unsigned = tmp_path / "i.bin", tmp_path / "r.unsigned"
    image.write_bytes(b"image" * 100)
    publish = ("release", "publish", "bulb:r1", str(image), "--version", "1.0")
    world.call(*publish, "--export-unsigned", str(unsigned))
    request = decode_request(unsigned.read_bytes())
    only_post = request_of(request.statement, request.needed)
    (tmp_path / "p.unsigned").write_bytes(only_post.encode())
    signatures = sign(world, tmp_path / "p.unsigned", world.home / "keys/release-1.pem")
    data = signatures.read_bytes().replace(only_post.digest, request.digest)
    signatures.write_bytes(data)
    with pytest.raises(Untrusted, match="something else"):
        world.call("maker", "import", str(signatures))


def test_several_images_are_one_release(world: CliWorld, tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.bin" for name in ("application", "radio", "twin")}
    for name, path in files.items():
        path.write_bytes((b"radio" if name == "twin" else name.encode()) * 100)
    named = [f"{name.replace('twin', 'radio/twin')}={path}" for name, path in files.items()]
    components = [word for one in named for word in ("--component", one)]
    publish = ("release", "publish", "bulb:r1", *components, "--version", "2.0")

    made = world.call(*publish)

    assert [line.split()[0] for line in made["images"]] == ["application", "radio", "radio/twin"]
    assert world.call(*publish)["index"] is None
    world.offer("1=100%")
    manifest = served(world)
    ids = [component.id for component in manifest.components]
    assert ids == [(b"application",), (b"radio",), (b"radio", b"twin")]
    (row,) = world.call("release", "list", "bulb:r1")
    assert all(artifact["stored"] for artifact in row["artifacts"])
    assert len({artifact["image"] for artifact in row["artifacts"]}) == 2


def test_components_and_files_are_said_right(world: CliWorld, tmp_path: Path) -> None:
    image = tmp_path / "i.bin"
    image.write_bytes(b"image")
    publish = ("release", "publish", "bulb:r1")
    end = ("--version", "1.0")
    for wrong in ("radio", f"={image}", f"a//b={image}", f"{'x' * 33}={image}"):
        with pytest.raises(Malformed, match="no component"):
            world.call(*publish, "--component", wrong, *end)
    twice = ("--component", f"a={image}") * 2
    with pytest.raises(Malformed, match="two components"):
        world.call(*publish, *twice, *end)
    for words in ((*publish, "absent.bin"), publish, (*publish, "--component", "a=absent")):
        with pytest.raises(click.UsageError):
            world.call(*words, *end)
    with pytest.raises(Misconfigured, match="one CLASS at a time"):
        world.call(*publish, "bulb:r2", str(image), *end, "--export-unsigned", "x")


def test_a_sequence_that_is_taken_by_something_else_is_refused(world: CliWorld) -> None:
    world.publish("1.0")
    with pytest.raises(Conflict, match="something else"):
        world.publish("1.1", "--sequence", "1")


def test_everything_that_may_narrow_an_offer(world: CliWorld) -> None:
    world.publish("1.0")
    rollout = ("rollout", "set", "bulb:r1", "--offer", "1=100%")
    narrowed = ("--window", "22:00-05:30", "--postpone-hours", "72", "--external-power")
    world.call(*rollout, *narrowed, "--battery", "40", "--urgency", "2", "--downtime-s", "90")
    head = world.check_in().head
    assert head is not None
    assert head.offers[0].conditions == Conditions(
        urgency=2,
        postpone_s=72 * 3_600,
        battery_percent=40,
        external_power=True,
        downtime_s=90,
        window=(79_200, 19_800),
    )
    with pytest.raises(Misconfigured, match="need an --offer"):
        world.call("rollout", "set", "bulb:r1", "--nothing", "--battery", "40")


def test_a_rollout_key_that_lies_elsewhere_signs_there(world: CliWorld, tmp_path: Path) -> None:
    world.publish("1.0")
    vault, unsigned = away(world, "rollout-1.pem", tmp_path), tmp_path / "r.unsigned"
    rollout = ("rollout", "set", "bulb:r1", "--offer", "1=100%")
    with pytest.raises(Misconfigured, match="1 of 1 rollout keys"):
        world.call(*rollout)
    world.call(*rollout, "--export-unsigned", str(unsigned))
    world.call("maker", "import", str(sign(world, unsigned, vault)))
    assert served(world).sequence == 1


def test_roots_elsewhere_sign_a_class_and_what_its_devices_trust(
    world: CliWorld, tmp_path: Path
) -> None:
    second = away(world, "root-2.pem", tmp_path)
    away(world, "root-3.pem", tmp_path)
    unsigned, out = tmp_path / "c.unsigned", tmp_path / "lamp.provisioning"
    add = ("class", "add", "lamp", "--support-end", "2036-12-31")
    world.call(*add, "--export-unsigned", str(unsigned))
    world.call("maker", "import", str(sign(world, unsigned, second)))
    trust = ("class", "trust", "lamp", "--out", str(out))
    world.call(*trust, "--export-unsigned", str(unsigned))
    signatures = str(sign(world, unsigned, second))
    with pytest.raises(Misconfigured, match="--out FILE"):
        world.call("maker", "import", signatures)
    world.call("maker", "import", signatures, "--out", str(out))
    assert world.call("verify", str(out))["maker"]
