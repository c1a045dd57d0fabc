# SPDX-License-Identifier: Apache-2.0
"""Makers, a device and onlookers of a cluster: each asks whichever node it likes, and tells all.

A maker that got no answer sends the same posts to another node. The device takes check-ins from
every node in turn and believes what `fieldpost.checkin` verifies; what it would install never gets
older. Onlookers read published heads and what every operator cosigned.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from random import Random
from typing import Final

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.verify import verify_bundle
from fieldpost.client.publisher import Accepted, submit_posts
from fieldpost.client.transport import HttpClient
from fieldpost.errors import NotFound, Rejected, Unavailable, Untrusted
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Offer
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.maker import Role
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.mirror import MirroredBoard
from tests.crash.cluster_reader import Reader
from tests.crash.cluster_rig import READY_S, Cluster, wait_until
from tests.crash.node_kills import read_log

_PATIENCE_S: Final = 8.0
_PAUSE_S: Final = 0.05
_DEVICE: Final = b"\x07" * 32
_BUNDLE: Final = "application/vnd.fieldpost.checkin+cbor"
_MOST_AT_ONCE: Final = 8


class Caller(threading.Thread):
    """Somebody outside who asks nodes until told to stop; `failure` is what broke a promise."""

    def __init__(self, cluster: Cluster, reader: Reader, seed: object) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.reader = reader
        self.chance = Random(str(seed))
        self.stopping = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        self.cluster.network.enter(self.cluster.outside)
        try:
            while not self.stopping.is_set():
                self.step(self.chance.choice(self.cluster.nodes).url)
        except BaseException as error:  # noqa: BLE001 - raised by whoever asks
            self.failure = error

    def step(self, url: str) -> None:
        raise NotImplementedError


class Maker(Caller):
    """Posts releases in order, some with a rollout. `done` is called with each acknowledgement."""

    def __init__(self, cluster: Cluster, reader: Reader, seed: object, name: str) -> None:
        super().__init__(cluster, reader, seed)
        self.world = MirroredBoard(lambda: read_log(cluster.nodes[0].data), name)
        self.sequence = 0
        self.acknowledged = 0
        self._waiting: list[bytes] = []

    @property
    def maker(self) -> MakerActor:
        return self.world.maker

    def register(self) -> None:
        """Registration and class, by node 0."""
        url = self.cluster.nodes[0].url
        for post in (self.maker.registration, self.maker.class_set):
            self._waiting = [post()]
            end = time.monotonic() + READY_S
            while self._waiting:
                assert time.monotonic() < end, f"{url} takes no post"
                self.cluster.network.within(self.cluster.outside, partial(self._try, url))
            self.world.refresh()

    def step(self, url: str) -> None:
        if not self._waiting:
            count = self.chance.randint(1, _MOST_AT_ONCE)
            self._waiting = [post for _ in range(count) for post in self._next()]
        self._try(url)

    def _try(self, url: str) -> None:
        """Send what waits; it waits on where no answer came, and the same bytes go out again."""
        try:
            self._send(url, self._waiting)
        except Unavailable:
            self.stopping.wait(_PAUSE_S)
        else:
            self._waiting = []

    def _next(self) -> list[bytes]:
        self.sequence += 1
        release = self.maker.release_publish(self.sequence)
        image = f"image {self.sequence} of {self.maker.name}/tracker".encode()
        manifest = sha256(b"manifest of " + image).digest()
        offer = Offer(sequence=self.sequence, manifest=manifest, threshold=FULL_THRESHOLD)
        return [release, self.maker.rollout_set(offer)]

    def _send(self, url: str, posts: Sequence[bytes]) -> None:
        with HttpClient(url, timeout_s=_PATIENCE_S) as http:
            results = submit_posts(http, posts)
        for post, result in zip(posts, results, strict=True):
            if isinstance(result, Rejected):
                raise AssertionError(f"a right post was refused by {url}: {result}") from result
            assert isinstance(result, Accepted)
            self.reader.receipt(post, result.index)
            self.acknowledged += 1


class Device(Caller):
    """A device of a maker's class, in this process. `installed` is what it took, in order."""

    def __init__(self, cluster: Cluster, reader: Reader, seed: object, maker: MakerActor) -> None:
        super().__init__(cluster, reader, seed)
        self._key = map_keys.head(maker.class_id("tracker"), "stable")
        self._path = f"/v1/checkin/{maker.class_id('tracker').hex()}/stable"
        self.belief = _provisioned(cluster, maker)
        self.installed = [0]
        self.checked = 0

    def step(self, url: str) -> None:
        try:
            with HttpClient(url, timeout_s=_PATIENCE_S) as http:
                self.check_in(http.fetch(self._path, accept=_BUNDLE, most_bytes=8_192))
        except (Unavailable, NotFound):
            pass
        self.stopping.wait(_PAUSE_S)

    def check_in(self, bundle: bytes) -> bool:
        """Whether it is believed. An older one than the last is not; a false one is a failure."""
        try:
            found = verify_bundle(self.belief, bundle, key=self._key, now=int(time.time()))
        except Untrusted as error:
            if error.reason == "not-newer":
                return False
            raise
        self.belief = found.belief
        self.checked += 1
        if found.head is None:
            return True
        offer = choose_offer(
            found.head,
            running=self.installed[-1],
            device=_DEVICE,
            lot=None,
            timestamp=found.timestamp,
        )
        if offer is not None:
            assert offer.sequence > self.installed[-1]
            self.installed.append(offer.sequence)
        return True

    def check_in_at(self, number: int, *, seconds: float) -> None:
        """A check-in at one node that is believed, each answer within `seconds`.

        What it shows may be no newer than what another showed a moment ago: it is asked until its
        operators cosigned anew. One that serves an older head stays behind.
        """
        ask = partial(self.cluster.fetch, number, self._path, _BUNDLE, seconds=seconds)
        wait_until(lambda: self.check_in(ask()), lambda: f"n{number} serves an older head")


class Onlooker(Caller):
    """Reads heads, and every operator's lines over sizes that somebody publishes."""

    def step(self, url: str) -> None:
        try:
            with HttpClient(url, timeout_s=_PATIENCE_S) as http:
                note = http.fetch("/log/checkpoint", accept="text/plain")
                size = self.reader.note(note, published=True)
                lines = http.fetch(f"/v1/cosignatures/{size}", accept="text/plain")
                self.reader.note(lines, published=False)
        except (Unavailable, NotFound):
            pass
        self.stopping.wait(_PAUSE_S)


class Crowd:
    """All of them, over one cluster."""

    def __init__(self, cluster: Cluster, reader: Reader, *, seed: int, makers: int = 2) -> None:
        self.reader = reader
        self.makers = [Maker(cluster, reader, f"{seed}/{n}", f"maker{n}") for n in range(makers)]
        for maker in self.makers:
            maker.register()
        self.device = Device(cluster, reader, f"{seed}/device", self.makers[0].maker)
        self.onlooker = Onlooker(cluster, reader, f"{seed}/onlooker")
        self._all: list[Caller] = [*self.makers, self.device, self.onlooker]

    def start(self) -> None:
        """Let them begin."""
        for caller in self._all:
            caller.start()

    def stop(self) -> None:
        """Let them end, and raise what broke a promise."""
        for caller in self._all:
            caller.stopping.set()
        for caller in self._all:
            caller.join(READY_S)
        self.check()

    def check(self) -> None:
        """Raise what broke a promise, if anything did."""
        for caller in self._all:
            if caller.failure is not None:
                raise caller.failure

    @property
    def acknowledged(self) -> int:
        """Posts so far."""
        return sum(maker.acknowledged for maker in self.makers)

    def wait_for(self, posts: int, *, seconds: float = READY_S) -> float:
        """Wait for so many more; how long it took, in seconds."""
        began, wanted = time.monotonic(), self.acknowledged + posts
        while self.acknowledged < wanted:
            self.check()
            assert time.monotonic() - began < seconds, "nothing is acknowledged any more"
            time.sleep(0.01)
        return time.monotonic() - began


def _provisioned(cluster: Cluster, maker: MakerActor) -> Belief:
    """What a device of this maker's class leaves the factory with."""
    state = maker.world.state
    board, own = (state.map.value(key) for key in (map_keys.board(), map_keys.maker(maker.id)))
    assert board is not None
    assert own is not None
    record = ProvisioningRecord(
        board=state.board,
        urls=tuple(node.url for node in cluster.nodes),
        board_record=board,
        board_link=maker.link_of(map_keys.board()).digest,
        maker=maker.id,
        maker_record=own,
        maker_link=maker.link_of(map_keys.maker(maker.id)).digest,
        class_id=maker.class_id("tracker"),
        channels=("stable",),
        least_interval_s=60,
        most_interval_s=86_400,
        least_size=0,
        least_time=0,
        limits=DeviceLimits(),
    )
    statement = Statement(
        kind="provisioning",
        issuer=record.maker.hex(),
        subject=subjects.of_class(record.class_id),
        audience=record.board,
        payload=record.encode(),
    )
    belief, _ = believe(sign_post(statement, maker.quorum(Role.ROOT)).encode())
    return replace(belief, timestamp=0)
