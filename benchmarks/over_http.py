# SPDX-License-Identifier: Apache-2.0
"""A node over HTTP on loopback: check-ins beside nginx, and posts, one or a hundred to a request.

Load generator and server share the machine's cores. Posts (`lot.enrol`, Ed25519, about 350 bytes)
are signed beforehand, by eight makers who send at the same time; each post is durable, published
and proven by a receipt before its answer comes.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from benchmarks.measure import Result
from benchmarks.processes import has, nginx, node, requests_per_second
from fieldpost.client.log import Log
from fieldpost.client.publisher import Accepted, submit_post, submit_posts
from fieldpost.client.transport import HttpClient
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.note import parse_vkey

_MAKERS = 8
_SINGLE = 100
_BUNDLED = 800


def results() -> Iterator[Result]:
    """Measure one after the other."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        with node(folder / "data") as url:
            world, makers = _enrolled(url)
            if has("wrk"):
                yield from _check_ins(url, makers[0], folder / "nginx")
            single = [_posts(maker, _SINGLE, 1) for maker in makers]
            alone = _send(url, single, at_once=1)
            yield Result(what="posts, one to a request", unit="posts", ours=alone)
            world.refresh()
            bundled = [_posts(maker, _BUNDLED, 2) for maker in makers]
            yield Result(
                what="posts, 100 to a request",
                unit="posts",
                ours=_send(url, bundled, at_once=100),
                against="one to a request",
                theirs=alone,
            )


def _enrolled(url: str) -> tuple[MirroredBoard, list[MakerActor]]:
    def entries() -> list[bytes]:
        with HttpClient(url) as http:
            match http.send("GET", "/v1/board").json():
                case {"origin": str(origin), "operators": [{"log_key": str(key)}, *_]}:
                    log = Log(http, origin=origin, keys=[parse_vkey(key)])
                    log.advance()
                    return list(log.read_all())
        raise AssertionError("the board view lacks its operator")

    world = MirroredBoard(entries)
    makers = [MakerActor(world, f"maker{n}") for n in range(_MAKERS)]
    with HttpClient(url) as http:
        for maker in makers:
            submit_post(http, maker.registration())
        world.refresh()
        for maker in makers:
            submit_post(http, maker.class_set(most_devices=10**6))
        world.refresh()
    return world, makers


def _posts(maker: MakerActor, count: int, salt: int) -> list[bytes]:
    roots = (sha256(f"{salt} {n}".encode()).digest() for n in range(count))
    return [maker.lot_enrol(count=1, root=root) for root in roots]


def _check_ins(url: str, maker: MakerActor, folder: Path) -> Iterator[Result]:
    path = f"/v1/checkin/{maker.class_id('tracker').hex()}/stable"
    with HttpClient(url) as http:
        body = http.fetch(path)
    ours = requests_per_second(url + path)
    what = f"check-ins of {len(body):,} bytes"
    yield Result(
        what=what,
        unit="requests",
        ours=ours,
        against="the same through the application",
        # A query keeps a request from the short way; the answer is the same.
        theirs=requests_per_second(f"{url}{path}?long-way"),
    )
    if has("nginx"):
        with nginx(folder, path, body) as other:
            time.sleep(0.5)
            theirs = requests_per_second(other + path)
        against = "nginx, one worker, a static file"
        yield Result(what=what, unit="requests", ours=ours, against=against, theirs=theirs)


def _send(url: str, posts: Sequence[Sequence[bytes]], *, at_once: int) -> float:
    """Posts per second of all senders together; every post must be accepted."""
    failed: list[BaseException] = []

    def send(mine: Sequence[bytes]) -> None:
        try:
            with HttpClient(url, timeout_s=60) as http:
                for start in range(0, len(mine), at_once):
                    some = mine[start : start + at_once]
                    answers = (
                        [submit_post(http, some[0])] if at_once == 1 else submit_posts(http, some)
                    )
                    assert all(isinstance(answer, Accepted) for answer in answers), answers
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=send, args=(mine,)) for mine in posts]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    if failed:
        raise failed[0]
    return sum(len(mine) for mine in posts) / taken
