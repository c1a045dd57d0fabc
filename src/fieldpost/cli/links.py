# SPDX-License-Identifier: Apache-2.0
"""Verifying a bundle whose board or maker has moved on since the provisioning record was written.

The links in between come from a node and are judged like everything else: each must be signed by
the keys of the one before it.
"""

from collections.abc import Callable, Sequence

from fieldpost.checkin.chains import MissingLinks
from fieldpost.checkin.verify import Verified
from fieldpost.cli.board_access import Board
from fieldpost.errors import Misconfigured, Untrusted

# verify(board links, maker links)
Verify = Callable[[Sequence[bytes], Sequence[bytes]], Verified]


def verify_with_links(verify: Verify, *, maker: bytes, board: Board | None) -> Verified:
    """What `verify` returns, with the links that it asks for, of each record once.

    Raises Misconfigured where links are needed and no board can be asked, and as `verify_bundle`.
    """
    paths = {"board": "/v1/board", "maker": f"/v1/makers/{maker.hex()}/links"}
    links: dict[str, list[bytes]] = {}
    while True:
        try:
            return verify(links.get("board", []), links.get("maker", []))
        except MissingLinks as missing:
            if missing.record in links:
                words = f"the {missing.record}'s links lead elsewhere; ask another node"
                raise Untrusted("missing-links", words) from missing
            if board is None:
                raise Misconfigured(
                    f"the {missing.record} has changed since the provisioning record was written; "
                    "name a node that has the steps in between: --board URL"
                ) from missing
            links[missing.record] = board.links(paths[missing.record], since=missing.since)
