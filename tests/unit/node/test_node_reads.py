# SPDX-License-Identifier: Apache-2.0
"""What a node serves for reading: the log's files, bundles with cache rules, and views."""

import json
import re

import pytest

from fieldpost import cbor
from fieldpost.client.log import Log
from fieldpost.errors import Malformed, NotFound
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.head import decode_head
from fieldpost.records.identifiers import board_id
from fieldpost.statemap.proof import verify_proof
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import root_from_edge
from tests.unit.node.running_node import NOW, Running, publish, with_class

CHECKIN = "application/vnd.fieldpost.checkin+cbor"


def checkin_path(world: MirroredBoard, channel: str = "stable") -> str:
    return f"/v1/checkin/{world.maker.class_id('tracker').hex()}/{channel}"


def open_bundle(node: Running, log: Log, body: bytes, key: bytes) -> bytes | None:
    """The proven value, with every hash up to the signed checkpoint recomputed."""
    match cbor.decode(body):
        case (1, (None | bytes()) as value, bytes(path), bytes(state), tuple(edge), tuple()):
            pass
        case other:
            raise AssertionError(other)
    leaf = cbor.decode(state)
    assert isinstance(leaf, tuple)
    index, map_root = leaf[2], leaf[3]
    assert isinstance(index, int)
    assert isinstance(map_root, bytes)
    verify_proof(root=map_root, key=key, value=value, path=path)
    hashes = tuple(item for item in edge if isinstance(item, bytes))
    root = root_from_edge(leaf_hash=leaf_hash(state), index=index, edge=hashes)
    head = log.advance()
    assert (head.size, head.root) == (index + 1, root)
    return value


def test_a_check_in_proves_the_channel_up_to_the_signed_checkpoint(node: Running) -> None:
    world = with_class(node)
    publish(node, world, 10)
    node.post(world, world.maker.rollout_set(world.maker.offer(10)))
    body = node.http.fetch(checkin_path(world), accept=CHECKIN)
    key = map_keys.head(world.maker.class_id("tracker"), "stable")
    value = open_bundle(node, node.log(), body, key)
    assert value is not None
    assert [offer.sequence for offer in decode_head(value).offers] == [10]


def test_any_map_key_can_be_proven_absence_included(node: Running) -> None:
    world = with_class(node)
    present = map_keys.maker(world.maker.id)
    for key, there in ((present, True), (b"\x00" * 32, False)):
        body = node.http.fetch(f"/v1/proof/{key.hex()}", accept=CHECKIN)
        assert (open_bundle(node, node.log(), body, key) is not None) is there


def test_a_check_in_may_be_cached_for_the_rest_of_the_epoch(node: Running) -> None:
    world = with_class(node)
    node.clock[0] = NOW + 45
    first = node.http.send("GET", checkin_path(world))
    rest = re.fullmatch(r"public, max-age=(\d+), no-transform", first.headers["cache-control"])
    assert rest is not None
    assert 0 <= int(rest[1]) <= 60
    assert re.fullmatch(r'"[0-9a-f]{32}"', first.headers["etag"])


def test_a_client_that_has_the_bytes_gets_304_until_they_change(node: Running) -> None:
    world = with_class(node)
    first = node.http.send("GET", checkin_path(world))
    asked = {"If-None-Match": first.headers["etag"]}
    again = node.http.send("GET", checkin_path(world), headers=asked)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    publish(node, world, 10)
    changed = node.http.send("GET", checkin_path(world), headers=asked)
    assert changed.status == 200
    assert changed.headers["etag"] != first.headers["etag"]


def test_every_device_gets_the_same_bytes(node: Running) -> None:
    world = with_class(node)
    assert node.http.fetch(checkin_path(world)) == node.http.fetch(checkin_path(world))


def test_head_has_the_headers_and_no_body(node: Running) -> None:
    world = with_class(node)
    full = node.http.send("GET", checkin_path(world))
    head = node.http.send("HEAD", checkin_path(world))
    assert head.body == b""
    assert head.headers["etag"] == full.headers["etag"]
    assert int(head.headers["content-length"]) == len(full.body)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/checkin/" + "00" * 16 + "/stable",
        "/v1/checkin/xyz/stable",
        "/v1/proof/00",
        "/v1/proof/" + "AA" * 32,
        "/v1/makers/" + "00" * 16,
        "/v1/makers/" + "00" * 16 + "/links",
        "/v1/classes/" + "00" * 16,
        "/v1/classes/" + "00" * 16 + "/releases",
        "/v1/lots/" + "00" * 16,
        "/v1/devices/" + "00" * 32,
        "/v1/manifests/" + "00" * 32,
        "/v1/blobs/sha256/" + "00" * 32,
        "/log/tile/0/001",
        "/nowhere",
    ],
)
def test_what_is_not_here_is_a_problem_that_says_what_to_do(node: Running, path: str) -> None:
    with pytest.raises(NotFound, match=r";"):
        node.http.fetch(path)


@pytest.mark.parametrize(
    "path", ["/log/tile/0/../../keys/log.pem", "/log/tile/0/x000/001", "/log/tile/9999/000"]
)
def test_a_path_that_is_no_tile_reaches_no_file(node: Running, path: str) -> None:
    with pytest.raises((Malformed, NotFound)):
        node.http.fetch(path)


def test_the_log_is_served_with_its_types_and_cache_rules(node: Running) -> None:
    checkpoint = node.http.send("GET", "/log/checkpoint")
    assert checkpoint.content_type == "text/plain"
    assert "no-cache" in checkpoint.headers["cache-control"]
    log = node.log()
    head = log.advance()
    tile = node.http.send("GET", f"/log/tile/0/000.p/{head.size}")
    assert tile.content_type == "application/octet-stream"
    assert "immutable" in tile.headers["cache-control"]
    assert len(tile.body) == 32 * head.size
    opened, _ = open_checkpoint(checkpoint.body, log._keys)
    assert opened == head


def test_the_board_says_that_it_is_solo_and_on_trial(node: Running) -> None:
    view = node.http.send("GET", "/v1/board").json()
    assert isinstance(view, dict)
    assert (view["board"], view["solo"], view["trial"]) == (node.board, True, True)
    links = cbor.decode(node.http.fetch("/v1/board?since=-1"))
    assert isinstance(links, tuple)
    genesis = links[0]
    assert isinstance(genesis, bytes)
    assert board_id(view["origin"], leaf_hash(genesis)) == node.board
    assert cbor.decode(node.http.fetch("/v1/board?since=0")) == ()


@pytest.mark.parametrize("since", ["x", "-2", "", "1e3", "9" * 30])
def test_an_epoch_that_is_no_number_is_refused(node: Running, since: str) -> None:
    with pytest.raises(Malformed):
        node.http.fetch(f"/v1/board?since={since}")


def test_a_maker_is_shown_with_its_nonces_and_links(node: Running) -> None:
    world = with_class(node)
    publish(node, world, 10)
    maker = world.maker.id.hex()
    view = node.http.send("GET", f"/v1/makers/{maker}").json()
    assert isinstance(view, dict)
    assert view["domain"] == "unverified"
    assert view["classes"] == [world.maker.class_id("tracker").hex()]
    (nonce,) = view["nonces"]["release"].values()
    assert nonce == 1
    assert view["nonces"]["root"] == {"role": 0}
    links = cbor.decode(node.http.fetch(f"/v1/makers/{maker}/links?since=-1"))
    assert isinstance(links, tuple)
    assert isinstance(links[0], bytes)
    assert decode_post(links[0]).statement.payload.hex() == view["record"]


def test_a_class_is_shown_with_its_channels_and_releases(node: Running) -> None:
    world = with_class(node)
    publish(node, world, 10)
    publish(node, world, 12)
    node.post(world, world.maker.rollout_set(world.maker.offer(12, 2**30), world.maker.offer(10)))
    path = f"/v1/classes/{world.maker.class_id('tracker').hex()}"
    view = node.http.send("GET", path).json()
    assert isinstance(view, dict)
    offers = view["channels"]["stable"]["offers"]
    assert [(o["sequence"], o["threshold"]) for o in offers] == [(12, 2**30), (10, 2**32)]
    assert view["newest"] == 12
    releases = node.http.send("GET", f"{path}/releases").json()
    assert isinstance(releases, list)
    assert [release["sequence"] for release in releases] == [12, 10]
    assert not releases[0]["manifest_stored"]
    assert not releases[0]["artifacts"][0]["stored"]
    assert releases[0]["withdrawn"] is None


def test_the_process_tells_its_health(node: Running) -> None:
    assert node.http.fetch("/healthz") == b"ok\n"
    assert node.http.fetch("/readyz") == b"ready\n"
    with_class(node)
    text = node.metrics.render()
    size = re.search(r"^fieldpost_log_size (\d+)$", text, re.MULTILINE)
    assert size is not None
    assert int(size[1]) == len(node.entries())


def test_a_problem_is_explained_where_its_type_points(node: Running) -> None:
    assert b"codes.md" in node.http.fetch("/problems/rejected")


def test_a_method_that_is_not_offered_is_a_problem(node: Running) -> None:
    with pytest.raises(Malformed, match="Allow"):
        node.http.send("DELETE", "/v1/board")


def test_views_are_json(node: Running) -> None:
    answer = node.http.send("GET", "/v1/board")
    assert answer.content_type == "application/json"
    assert json.loads(answer.body)
