# SPDX-License-Identifier: Apache-2.0
"""One bad source among good ones: what it sent may cost bytes, never the image."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.agent.download import Stored, blob_urls, download
from fieldpost.errors import Untrusted
from fieldpost.records.device_class import Encoding
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.relay import Relay

DATA = b"".join(sha256(bytes([number % 256, number // 256])).digest() for number in range(2_000))
STORED = Stored(digest=sha256(DATA).digest(), size=len(DATA), encoding=Encoding.IDENTITY)


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        running.blobs[STORED.digest.hex()] = DATA
        yield running


def urls(*bases: str) -> list[str]:
    return blob_urls(STORED, sources=(), boards=bases)


def test_a_source_that_begins_wrongly_and_stops_does_not_spoil_the_next(
    tmp_path: Path, node: PaperNode
) -> None:
    """It could otherwise freeze a device for ever: every good source would finish its bad start."""
    with Relay(node.url) as liar:
        liar.alter = lambda _, body: b"?" + body[1:]
        liar.cut = lambda _: 1_000
        path = download(tmp_path, STORED, urls(liar.url, node.url))
    assert path.read_bytes() == DATA


def test_a_wrong_part_from_an_earlier_time_is_no_blame_for_who_finishes_it(
    tmp_path: Path, node: PaperNode
) -> None:
    (tmp_path / f"{STORED.digest.hex()}.part").write_bytes(b"?" * len(DATA))
    assert download(tmp_path, STORED, urls(node.url)).read_bytes() == DATA


def test_a_source_that_is_wrong_twice_is_asked_no_third_time(
    tmp_path: Path, node: PaperNode
) -> None:
    (tmp_path / f"{STORED.digest.hex()}.part").write_bytes(b"?")
    with Relay(node.url) as liar:
        liar.alter = lambda _, body: body[:-1] + b"?"
        with pytest.raises(Untrusted, match="wrong-bytes"):
            download(tmp_path, STORED, urls(liar.url))
        assert [wish for _, _, wish in liar.requests] == ["bytes=1-", None]
