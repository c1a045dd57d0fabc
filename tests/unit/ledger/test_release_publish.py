# SPDX-License-Identifier: Apache-2.0
"""A release is announced once, in order, and only if every device of the class could take it."""

from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.posts import subjects
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters, ReleaseCounters
from fieldpost.records.device_class import DeltaFormat, DeviceLimits, Encoding
from fieldpost.records.maker import Role
from fieldpost.records.release import Artifact
from fieldpost.testing.world import BoardWorld

IMAGE = Artifact(digest=b"i" * 32, size=1_000, encoding=Encoding.IDENTITY, image=b"i" * 32)
PACKED = Artifact(digest=b"p" * 32, size=2_000, encoding=Encoding.ZSTD, image=b"i" * 32)
DELTA = Artifact(
    digest=b"d" * 32,
    size=10,
    encoding=Encoding.IDENTITY,
    image=b"i" * 32,
    delta_format=DeltaFormat.DETOOLS,
    base=b"b" * 32,
)


def world_with(limits: DeviceLimits) -> BoardWorld:
    world = BoardWorld()
    world.accept(world.maker.registration())
    world.accept(world.maker.class_set(limits=limits, sequence_window=10))
    return world


def test_a_published_release_is_in_the_map_and_offered_to_nobody() -> None:
    world = BoardWorld.with_class()
    class_id = world.maker.class_id("tracker")
    head = world.value(map_keys.head(class_id, "stable"))
    entry = world.maker.release_publish(7, manifest=b"m" * 32)
    world.accept(entry)
    assert world.value(map_keys.release(class_id, 7)) == decode_post(entry).statement.payload
    assert world.value(map_keys.release_counters(class_id, 7)) == ReleaseCounters().encode()
    assert world.value(map_keys.class_counters(class_id)) == ClassCounters(newest=7).encode()
    assert world.value(map_keys.manifest(class_id, b"m" * 32)) == cbor.encode(7)
    assert world.value(map_keys.head(class_id, "stable")) == head


def test_publishing_forgets_neither_devices_nor_floor() -> None:
    world = BoardWorld.with_releases(1)
    key = map_keys.class_counters(world.maker.class_id("tracker"))
    assert ClassCounters.decode(world.values[key]) == ClassCounters(newest=1, floor=0, devices=100)


@pytest.mark.parametrize("sequence", [4, 5, 16])
def test_a_sequence_grows_by_at_most_the_window(sequence: int) -> None:
    world = world_with(DeviceLimits())
    world.accept(world.maker.release_publish(5))
    assert world.refusal(world.maker.release_publish(sequence)) == "sequence"


def test_the_whole_window_may_be_used() -> None:
    world = world_with(DeviceLimits())
    world.accept(world.maker.release_publish(10))
    world.accept(world.maker.release_publish(20))


def test_a_manifest_is_published_once() -> None:
    world = BoardWorld.with_class()
    world.accept(world.maker.release_publish(1, manifest=b"m" * 32))
    assert world.refusal(world.maker.release_publish(2, manifest=b"m" * 32)) == "manifest-taken"


@pytest.mark.parametrize(
    ("limits", "changes", "code"),
    [
        (DeviceLimits(envelope_bytes=511), {}, "envelope-size"),
        (DeviceLimits(image_bytes=999), {"artifacts": (IMAGE,)}, "image-size"),
        (
            DeviceLimits(encodings=(Encoding.IDENTITY,)),
            {"artifacts": (IMAGE, PACKED)},
            "encoding",
        ),
        (
            DeviceLimits(delta_formats=(DeltaFormat.ZSTD_PATCH,)),
            {"artifacts": (IMAGE, DELTA)},
            "encoding",
        ),
    ],
)
def test_what_a_device_cannot_take_is_not_published(
    limits: DeviceLimits, changes: dict[str, Any], code: str
) -> None:
    world = world_with(limits)
    assert world.refusal(world.maker.release_publish(1, **changes)) == code


def test_what_a_device_can_just_take_is_published() -> None:
    limits = DeviceLimits(
        envelope_bytes=512, image_bytes=1_000, delta_formats=(DeltaFormat.DETOOLS,)
    )
    world = world_with(limits)
    world.accept(world.maker.release_publish(1, artifacts=(IMAGE, PACKED, DELTA)))


def test_a_release_belongs_to_a_class_that_exists() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.release_publish(1, name="nothing")) == "unknown-class"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.RELEASE])
def test_no_other_role_publishes(role: Role) -> None:
    world = BoardWorld.with_class()
    post = world.maker.release_publish(1, signers=world.maker.keys[role][:1])
    assert world.refusal(post) == "unknown-key"


def test_a_release_is_published_in_its_makers_name() -> None:
    world = BoardWorld.with_class()
    maker = world.maker
    statement = decode_post(maker.release_publish(1)).statement
    signers = maker.quorum(Role.RELEASE)
    for claims, code in (({"issuer": "x"}, "wrong-issuer"), ({"subject": "x"}, "wrong-subject")):
        subject = subjects.of_release(maker.class_id("tracker"), 1)
        claimed = {"issuer": maker.id.hex(), "subject": subject} | claims
        post = maker.post(
            "release.publish",
            claimed["subject"],
            statement.payload,
            signers,
            issuer=claimed["issuer"],
        )
        assert world.refusal(post) == code
