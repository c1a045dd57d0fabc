# SPDX-License-Identifier: Apache-2.0
"""Bytes from anybody, believed by digest alone; and several addresses asked until one is right."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard

from fieldpost.agent.download import Stored, blob_urls, clean, download, patience_s, unpack
from fieldpost.client.sources import Sources
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misbehaviour, NotFound, Unavailable, Untrusted
from fieldpost.records.device_class import Encoding
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.relay import Relay

DATA = b"".join(sha256(bytes([number % 256, number // 256])).digest() for number in range(6_250))
STORED = Stored(digest=sha256(DATA).digest(), size=len(DATA), encoding=Encoding.IDENTITY)


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        running.blobs[STORED.digest.hex()] = DATA
        yield running


def urls(*bases: str) -> list[str]:
    return blob_urls(STORED, sources=(), boards=bases)


def test_a_source_with_wrong_bytes_is_passed_over(tmp_path: Path, node: PaperNode) -> None:
    with Relay(node.url) as liar:
        liar.alter = lambda _, body: body[:-1] + b"?"
        path = download(tmp_path, STORED, urls(liar.url, node.url))
        assert path.read_bytes() == DATA
        clean(tmp_path)
        with pytest.raises(Untrusted, match="wrong-bytes"):
            download(tmp_path, STORED, urls(liar.url))
        assert path.read_bytes() == b""


def test_a_download_is_taken_up_from_another_source(tmp_path: Path, node: PaperNode) -> None:
    with Relay(node.url) as short:
        short.cut = lambda _: 150_000
        with pytest.raises(Unavailable):
            download(tmp_path, STORED, urls(short.url))
    with Relay(node.url) as other:
        assert download(tmp_path, STORED, urls(other.url)).read_bytes() == DATA
        assert other.requests[0][2] == "bytes=150000-"


def test_a_source_that_sends_more_than_was_named_is_cut_off(
    tmp_path: Path, node: PaperNode
) -> None:
    with Relay(node.url) as greedy:
        greedy.alter = lambda _, body: body * 50
        with pytest.raises(Unavailable):
            download(tmp_path, STORED, urls(greedy.url))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(DATA)


def test_a_source_has_time_for_a_slow_line_and_never_more_than_an_hour() -> None:
    """1 kB/s is what the slowest cellular modems manage."""
    assert patience_s(0) == 120
    assert patience_s(100_000) == 220
    assert patience_s(40 * 1024 * 1024) == 3_600


def test_the_makers_own_places_come_before_the_boards() -> None:
    name = STORED.digest.hex()
    assert blob_urls(STORED, sources=["http://cdn.test/x/"], boards=["http://node.test"]) == [
        f"http://cdn.test/x/{name}",
        f"http://node.test/v1/blobs/sha256/{name}",
    ]


def test_unpacking_gives_the_image(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    path.write_bytes(zstandard.compress(DATA * 3, 19))
    assert b"".join(unpack(path, Encoding.ZSTD, most_bytes=len(DATA) * 3)) == DATA * 3


def test_a_bomb_is_stopped_at_the_signed_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(zstandard.compress(bytes(100_000_000)))
    taken: list[int] = []
    chunks = unpack(path, Encoding.ZSTD, most_bytes=100_000)
    with pytest.raises(Untrusted, match="wrong-digest"):
        taken.extend(map(len, chunks))
    assert sum(taken) <= 100_000


def test_a_window_larger_than_a_device_can_hold_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path = tmp_path / "wide"
    path.write_bytes(packer.compress(DATA) + packer.flush())
    with pytest.raises(Malformed):
        list(unpack(path, Encoding.ZSTD, most_bytes=len(DATA)))


def _say(answer: object) -> object:
    if isinstance(answer, Exception):
        raise answer
    return answer


def ask(answers: dict[str, object]) -> object:
    sources = Sources(f"http://{name}.test" for name in answers)

    def question(client: HttpClient) -> object:
        return _say(answers[client.base_url.removeprefix("http://").removesuffix(".test")])

    return sources.ask(question)


def test_the_next_address_is_asked_whatever_is_wrong_with_the_first() -> None:
    for failure in (Unavailable("down"), Untrusted("bad-proof"), NotFound("none"), Malformed("?")):
        assert ask({"first": failure, "second": "good"}) == "good"


def test_an_address_that_was_right_is_asked_first_from_then_on() -> None:
    sources = Sources(["http://a.test", "http://b.test"])

    def question(client: HttpClient) -> str:
        if client.base_url == "http://a.test":
            raise Unavailable("down")
        return "good"

    sources.ask(question)
    assert list(sources.urls) == ["http://b.test", "http://a.test"]
    sources.replace(["http://a.test", "http://b.test", "http://c.test"])
    assert list(sources.urls) == ["http://b.test", "http://a.test", "http://c.test"]


def test_two_signed_histories_end_the_search_at_once() -> None:
    with pytest.raises(Misbehaviour):
        ask({"first": Misbehaviour("split-view", "", ()), "second": "good"})


@pytest.mark.parametrize(
    ("failures", "family", "words"),
    [
        ([Unavailable("a"), Untrusted("no-quorum")], Untrusted, "no-quorum"),
        ([Untrusted("not-newer"), Untrusted("no-quorum")], Untrusted, "no-quorum"),
        ([Untrusted("not-newer"), Unavailable("a")], Untrusted, "not-newer"),
        ([NotFound("a"), NotFound("b")], NotFound, "a"),
        ([NotFound("a"), Unavailable("b")], Unavailable, "a; b"),
        ([], Unavailable, "no address"),
    ],
)
def test_the_gravest_reason_is_told(
    failures: list[Exception], family: type[Exception], words: str
) -> None:
    with pytest.raises(family, match=words):
        ask({f"host{number}": failure for number, failure in enumerate(failures)})


def test_the_longest_wait_that_anybody_asked_for_is_kept() -> None:
    with pytest.raises(Unavailable) as refused:
        ask({"a": Unavailable("a", 5), "b": Unavailable("b", 50), "c": Unavailable("c")})
    assert refused.value.retry_after_s == 50
