# SPDX-License-Identifier: Apache-2.0
"""Where a node listens, as people write it."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.node.config import Limits, NodeConfig, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8470", ("127.0.0.1", 8470)),
        ("[::1]:0", ("::1", 0)),
        (":80", ("0.0.0.0", 80)),
        ("node.example:65535", ("node.example", 65_535)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["", "8470", "host:", "host:x", "host:65536", "::1:80", "h:-1"])
def test_what_is_no_address_is_a_setting_to_fix(text: str) -> None:
    with pytest.raises(Misconfigured, match="write"):
        parse_listen(text)


def test_an_answer_of_links_is_never_so_small_that_clients_take_it_for_the_last() -> None:
    with pytest.raises(Misconfigured, match="links_bytes"):
        Limits(links_bytes=65_536)


@pytest.mark.parametrize("origin", ["", "Board Example", "board.example", "board.example/0"])
def test_a_name_that_no_board_can_have_is_a_setting_to_fix(origin: str) -> None:
    with pytest.raises(Misconfigured, match=r"origin: .* write host/shard"):
        NodeConfig(data=Path("data"), origin=origin)
