# SPDX-License-Identifier: Apache-2.0
"""A download keeps to its rate, whatever the chunks and pauses; the clock is the test's."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.agent.download import Pace, Stored, blob_urls, download
from fieldpost.agent.token_bucket import TokenBucket
from fieldpost.records.device_class import Encoding
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode


@given(
    rate=st.integers(1, 10**6),
    steps=st.lists(st.tuples(st.integers(1, 65_536), st.floats(0, 100)), max_size=50),
)
def test_over_any_time_the_rate_is_kept_but_for_one_bucket_and_the_last_chunk(
    rate: int, steps: list[tuple[int, float]]
) -> None:
    bucket, now, spent, last = TokenBucket.full(rate, now=0.0), 0.0, 0, 0
    for count, idle in steps:
        bucket, wait = bucket.spend(count, now=now)
        spent, last = spent + count, count
        assert spent <= rate * now + rate + last + 1
        now += wait + idle


def test_a_bucket_holds_no_more_than_a_second() -> None:
    bucket, _ = TokenBucket.full(100, now=0.0).spend(100, now=0.0)
    assert bucket.spend(100, now=1_000.0)[1] == 0.0
    assert bucket.spend(300, now=1_000.0)[1] == 2.0


def test_an_uptime_that_stands_still_pays_nothing_back() -> None:
    bucket, wait = TokenBucket.full(100, now=5.0).spend(200, now=5.0)
    assert wait == 1.0
    assert bucket.spend(100, now=4.0)[1] == 2.0


@dataclass
class Time:
    """Moves where somebody pauses, and nowhere else."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def pace(self, rate: int) -> Pace:
        bucket = TokenBucket.full(rate, now=self.now)
        return Pace(bucket=bucket, uptime=lambda: self.now, pause=self.pause)


DATA = bytes(1_000_000)
STORED = Stored(digest=sha256(DATA).digest(), size=len(DATA), encoding=Encoding.IDENTITY)


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        running.blobs[STORED.digest.hex()] = DATA
        yield running


def test_a_download_takes_as_long_as_its_rate_says(tmp_path: Path, node: PaperNode) -> None:
    time = Time()
    urls = blob_urls(STORED, sources=(), boards=(node.url,))
    path = download(tmp_path, STORED, urls, pace=time.pace(100_000))
    assert path.read_bytes() == DATA
    assert time.now == pytest.approx(9.0, abs=0.1)


def test_without_a_rate_nothing_waits(tmp_path: Path, node: PaperNode) -> None:
    urls = blob_urls(STORED, sources=(), boards=("http://127.0.0.1:9", node.url))
    assert download(tmp_path, STORED, urls).read_bytes() == DATA
