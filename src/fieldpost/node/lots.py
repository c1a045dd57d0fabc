# SPDX-License-Identifier: Apache-2.0
"""The board as the node's own fleet service sees it: nothing to prove, it is this very board."""

from fieldpost.fleet.board import PostedLot
from fieldpost.node.service import NodeService
from fieldpost.records import map_keys


class NodeLots:
    """A FleetBoard over the newest published head."""

    def __init__(self, service: NodeService) -> None:
        self._service = service

    def read(self, lot: bytes) -> PostedLot:
        """See FleetBoard."""
        return PostedLot(*self._service.lot(lot))

    def status_page(self, lot: bytes, page: int) -> bytes | None:
        """See FleetBoard."""
        return self._service.head().map.value(map_keys.status(lot, page))

    def links(self) -> list[bytes]:
        """See FleetBoard."""
        links: list[bytes] = []
        while part := self._service.board_links(len(links) - 1):
            links += part
        return links
