# SPDX-License-Identifier: Apache-2.0
"""What a node tells its operator of its CometBFT, in numbers: blocks, peers, catching up."""

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from fieldpost.engines.cometbft.rpc import CometRpc, CometStatus
from fieldpost.errors import Unavailable
from fieldpost.metrics.prometheus import Metrics

_ANSWER_S: Final = 2.0
# One scrape asks for several numbers.
_FRESH_S: Final = 1.0


def announce_cometbft(metrics: Metrics, rpc_address: str) -> Callable[[], None]:
    """Announce them; NaN while CometBFT does not answer. What is returned lets go of it."""
    rpc = CometRpc(rpc_address, answer_s=_ANSWER_S)
    state = _State(rpc)
    metrics.gauge(
        "fieldpost_cometbft_height",
        "The last block; one comes every 30 s at least, and none without a quorum of operators.",
        lambda: state.read(lambda status: status.height),
    )
    metrics.gauge(
        "fieldpost_cometbft_peers",
        "Operators' CometBFT that this one is connected to.",
        lambda: state.read(lambda status: status.peers),
    )
    metrics.gauge(
        "fieldpost_cometbft_catching_up",
        "1 while blocks of the past are fetched from peers.",
        lambda: state.read(lambda status: status.catching_up),
    )
    return rpc.close


class _State:
    """The last status, asked for again when it is no longer fresh."""

    def __init__(self, rpc: CometRpc) -> None:
        self._rpc = rpc
        self._lock = threading.Lock()
        self._asked = -math.inf
        self._status: CometStatus | None = None

    def read(self, pick: Callable[[CometStatus], float]) -> float:
        """One number of it."""
        with self._lock:
            if time.monotonic() - self._asked > _FRESH_S:
                try:
                    self._status = self._rpc.status()
                except Unavailable:
                    self._status = None
                self._asked = time.monotonic()
            return math.nan if self._status is None else float(pick(self._status))
