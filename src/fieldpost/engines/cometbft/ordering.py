# SPDX-License-Identifier: Apache-2.0
"""CometBFT as the engine sees it: something that is started, takes transactions, and may fail."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fieldpost.engines.cometbft import succession
from fieldpost.engines.cometbft.genesis import validator_address
from fieldpost.engines.cometbft.home import read_public_key
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.rpc import CometRpc, CometStatus
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.journal import tell

SILENT_S: Final = 15.0
_ANSWER_S: Final = 2.0
_LOOK_S: Final = 1.0
# Who could not put a key in its place need not end CometBFT every second for it.
_AGAIN_S: Final = 30.0

_log = logging.getLogger(__name__)


class CometOrdering:
    """See `sending.Ordering`. One process after another over one home, which must be whole.

    `uptime` gives seconds since any moment.
    """

    def __init__(
        self,
        program: Path,
        home: Path,
        rpc_address: str,
        *,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._uptime = uptime
        self._home = home
        self._rpc = CometRpc(rpc_address)
        self._process: CometProcess | None = None
        # Of its own, so that a CometBFT that hangs holds nothing up for long.
        self._questions = CometRpc(rpc_address, answer_s=_ANSWER_S)
        # The last answer, and of which process it was.
        self._status: CometStatus | None = None
        self._told_by: int | None = None
        self._answered = 0.0
        self._look_at = 0.0
        self._renew_at = 0.0

    def start(self) -> None:
        """See Ordering."""
        self._status, self._answered = None, self._uptime()
        self._process = CometProcess(self._program, self._home)
        self._process.start()

    def stop(self) -> None:
        """See Ordering."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._rpc.close()
        self._questions.close()

    @property
    def trouble(self) -> str | None:
        """See Ordering."""
        process, status = self._process, self._status
        if process is None:
            return "CometBFT is being started"
        try:
            process.check_running()
        except Unavailable as error:
            return str(error)
        silent = self._uptime() - self._answered
        if silent > SILENT_S:
            return (
                f"CometBFT has not answered for {silent:.0f} s: it reads its blocks again, or "
                "hangs; look at cometbft.log, and restart the node if it says nothing new"
            )
        if status is None or process.pid != self._told_by:
            return "CometBFT is being started"
        if status.catching_up:
            return (
                f"CometBFT is at block {status.height} and fetches those that it missed from "
                f"{status.peers} other operators: posts are taken here once it has caught up, and "
                "by the other operators meanwhile"
            )
        return None

    def broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        """See Ordering."""
        results = self._rpc.broadcast(txs)
        if not all(isinstance(result, Unavailable) for result in results):
            self._answered = self._uptime()
        return results

    def look_after(self) -> None:
        """See Ordering."""
        now = self._uptime()
        if self._process is None or now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        try:
            asked = self._process.pid
            self._status, self._told_by = self._questions.status(), asked
            self._answered = self._uptime()
            if now >= self._renew_at and succession.has_successor(self._home):
                self._renew_key(*self._questions.validators(), now)
        except Unavailable:
            return  # its silence tells, and the process itself

    def _renew_key(self, height: int, voting: frozenset[bytes], now: float) -> None:
        try:
            heir = succession.find_heir(self._home, voting)
            if heir is not None:
                # First, since a full disk shows itself here, before anything is ended.
                succession.retire_key(self._home, height - 1)
                self._change_key(heir, height)
        except FieldpostError as error:
            self._renew_at = now + _AGAIN_S
            tell(_log, "validator-key-not-changed", error=error)

    def _change_key(self, heir: Path, height: int) -> None:
        address = validator_address(read_public_key(heir)).hex().upper()
        self.stop()
        try:
            succession.take_over(self._home, heir)
        finally:
            self.start()
        tell(_log, "validator-key-changed", validator=address, height=height)
