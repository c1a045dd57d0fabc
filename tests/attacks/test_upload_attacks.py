# SPDX-License-Identifier: Apache-2.0
"""Uploads: strangers who delay one, and makers who fill the disk. Makers and devices are served."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.client.publisher import is_stored, upload_blob
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.node import uploads
from fieldpost.records.maker import Role, RoleKey, Scope
from fieldpost.testing import maker_posts
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.running_node import (
    LIMITS,
    Published,
    Running,
    bearer,
    permit_of,
    publish,
    running,
    with_class,
)

STRANGER = DeterministicSigner(Algorithm.ED25519, "stranger")
GARBAGE = b"garbage"


@pytest.fixture
def open_node(tmp_path: Path) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def path_of(release: Published) -> str:
    return f"/v1/blobs/sha256/{sha256(release.image).hexdigest()}"


def send(node: Running, release: Published, data: bytes, permit: bytes | None, at: int = 0) -> None:
    node.http.send(
        "PATCH",
        path_of(release),
        data,
        content_type="application/partial-upload",
        headers={"Upload-Offset": str(at), "Upload-Complete": "?0"}
        | ({} if permit is None else bearer(permit)),
    )


def upload(node: Running, release: Published, folder: Path) -> None:
    """As the maker's command line does."""
    path = folder / f"{release.record.sequence}.bin"
    path.write_bytes(release.image)
    digest = sha256(release.image).digest()
    upload_blob(node.http, path, digest=digest, permit=release.permit, attempts=2)
    assert is_stored(node.http, digest)


def is_served(node: Running, world: MirroredBoard) -> bool:
    """A device checks in, and the maker posts."""
    class_id = world.maker.class_id("tracker").hex()
    assert node.http.fetch(f"/v1/checkin/{class_id}/stable")
    node.post(world, maker_posts.maker_set(world.maker, contact=f"{world.applied}@acme.example"))
    return True


def test_a_stranger_cannot_put_garbage_in_the_way_of_an_upload(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        world = with_class(node)
        release = publish(node, world)
        forged = permit_of(world, release.image, signer=STRANGER)
        for permit, reason in (
            (None, "no-permit"),
            (forged, "unknown-key"),
            (permit_of(world, release.image, board="other.test/1#00"), "wrong-board"),
            (permit_of(world, b"another image"), "wrong-digest"),
            (permit_of(world, release.image, not_after=node.clock[0] - 1), "permit-over"),
        ):
            with pytest.raises((Untrusted, NotFound)) as refused:
                send(node, release, GARBAGE, permit)
            assert reason in (getattr(refused.value, "reason", reason))
        with pytest.raises(NotFound):
            send(node, release, GARBAGE, permit_of(world, release.image, maker=b"\x01" * 16))
        upload(node, release, tmp_path)


def test_without_permits_a_strangers_garbage_costs_the_maker_its_upload(tmp_path: Path) -> None:
    """The control."""
    with without(Defence.UPLOAD_PERMIT), running(tmp_path / "data") as node:
        world = with_class(node)
        release = publish(node, world)
        send(node, release, GARBAGE, permit_of(world, release.image, signer=STRANGER))
        with pytest.raises(Malformed, match="not those of blob"):
            upload(node, release, tmp_path)


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer !", "Bearer " + "A" * 9_000])
def test_what_is_no_token_is_refused(tmp_path: Path, header: str) -> None:
    with running(tmp_path / "data") as node:
        release = publish(node, with_class(node))
        headers = {"Upload-Offset": "0", "Upload-Complete": "?0", "Authorization": header}
        with pytest.raises((Untrusted, Malformed)):
            node.http.send(
                "PATCH",
                path_of(release),
                GARBAGE,
                content_type="application/partial-upload",
                headers=headers,
            )


def test_a_maker_who_names_anothers_blob_cannot_spoil_its_upload(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        world = with_class(node)
        release = publish(node, world)
        rival = MirroredBoard(node.entries, "rival")
        node.post(rival, rival.maker.registration())
        node.post(rival, rival.maker.class_set())
        copy = publish(node, rival)
        assert copy.image == release.image
        send(node, copy, GARBAGE, copy.permit)
        upload(node, release, tmp_path)
        assert node.http.fetch(path_of(release)) == release.image


def test_a_release_key_without_that_class_sends_nothing_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "data") as node:
        world = with_class(node)
        release = publish(node, world)
        key = DeterministicSigner(Algorithm.ED25519, "contractor")
        keys = maker_posts.record_of(world.maker).keys_of(Role.RELEASE)
        scoped = RoleKey(key.public_key, Scope(classes=(b"\x09" * 16,)))
        roles = {
            **maker_posts.record_of(world.maker).roles,
            Role.RELEASE: replace(keys, keys=(*keys.keys, scoped)),
        }
        signers = [*world.maker.quorum(Role.ROOT), key]
        entry = maker_posts.maker_set(world.maker, roles=roles, signers=signers)
        node.post(world, entry)
        with pytest.raises(Untrusted, match="scope"):
            send(node, release, GARBAGE, permit_of(world, release.image, signer=key))
        upload(node, release, tmp_path)


# --- the disk ---


def test_one_artifact_and_one_release_have_a_limit(tmp_path: Path) -> None:
    limits = replace(LIMITS, blob_bytes=2_000, release_blob_bytes=1_500)
    with running(tmp_path / "data", limits) as node:
        world = with_class(node)
        for sequence, size in ((10, 3_000), (11, 1_800)):
            release = publish(node, world, sequence, size)
            with pytest.raises(Malformed, match="keeps at most"):
                upload(node, release, tmp_path)
        upload(node, publish(node, world, 12, 1_000), tmp_path)
        assert is_served(node, world)


def test_what_one_maker_keeps_has_a_limit_and_others_go_on(tmp_path: Path) -> None:
    with running(tmp_path / "data", replace(LIMITS, maker_blob_bytes=2_500)) as node:
        world = with_class(node)
        stored = 0
        for sequence in range(10, 14):
            release = publish(node, world, sequence, 1_000)
            try:
                upload(node, release, tmp_path)
                stored += 1
            except Malformed as error:
                assert "that a maker has" in str(error)  # noqa: PT017 - not every one fails
        assert stored == 2
        rival = MirroredBoard(node.entries, "rival")
        node.post(rival, rival.maker.registration())
        node.post(rival, rival.maker.class_set())
        upload(node, publish(node, rival, 20, 2_000), tmp_path)
        world.refresh()
        assert is_served(node, world)


def test_without_a_limit_for_makers_one_fills_the_disk(tmp_path: Path) -> None:
    """The control: what is not counted is not limited."""
    with (
        without(Defence.MAKER_ROOM),
        running(tmp_path / "data", replace(LIMITS, maker_blob_bytes=2_500)) as node,
    ):
        world = with_class(node)
        for sequence in range(10, 14):
            upload(node, publish(node, world, sequence, 1_000), tmp_path)


def test_uploads_that_broke_off_count_too(tmp_path: Path) -> None:
    with running(tmp_path / "data", replace(LIMITS, maker_blob_bytes=1_500)) as node:
        world = with_class(node)
        first, second = publish(node, world, 10, 1_000), publish(node, world, 11, 1_000)
        send(node, first, first.image[:600], first.permit)
        with pytest.raises(Malformed, match="that a maker has"):
            upload(node, second, tmp_path)
        upload(node, first, tmp_path)


def test_at_the_reserve_of_the_disk_uploads_end_and_all_else_goes_on(tmp_path: Path) -> None:
    with running(tmp_path / "data", replace(LIMITS, reserve_bytes=2**50)) as node:
        world = with_class(node)
        release = publish(node, world)
        with pytest.raises(Unavailable, match="of its disk free") as refused:
            send(node, release, release.image, release.permit)
        assert refused.value.retry_after_s == 600
        assert is_served(node, world)


@pytest.mark.parametrize("rooms", [[10_000], [1_000_000, 9_100]], ids=["at first", "later"])
def test_an_upload_is_refused_when_the_whole_of_it_and_when_its_next_piece_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rooms: list[int]
) -> None:
    """Another upload may have taken the room that was there when this one began."""
    left = list(rooms)
    with running(tmp_path / "data", replace(LIMITS, reserve_bytes=9_000)) as node:
        release = publish(node, with_class(node), 10, 2_000)
        monkeypatch.setattr(
            uploads, "free_bytes", lambda _: left.pop(0) if len(left) > 1 else left[0]
        )
        with pytest.raises(Unavailable, match="of its disk free"):
            send(node, release, release.image[:600], release.permit)
        assert left == rooms[-1:]


def test_without_a_reserve_an_upload_takes_the_last_room(tmp_path: Path) -> None:
    """The control."""
    with (
        without(Defence.DISK_RESERVE),
        running(tmp_path / "data", replace(LIMITS, reserve_bytes=2**50)) as node,
    ):
        upload(node, publish(node, with_class(node)), tmp_path)
