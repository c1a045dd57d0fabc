# SPDX-License-Identifier: Apache-2.0
"""CometBFT as the engine sees it: something that is started, takes transactions, and may fail."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fieldpost.engines.cometbft import succession
from fieldpost.engines.cometbft.genesis import validator_address
from fieldpost.engines.cometbft.home import read_public_key
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.rpc import CometRpc
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.journal import tell

_ANSWER_S: Final = 2.0
# Between two questions whether the successor of the validator key votes by now.
_ASK_S: Final = 1.0
# Who could not put a key in its place need not end CometBFT every second for it.
_AGAIN_S: Final = 30.0

_log = logging.getLogger(__name__)


class CometOrdering:
    """See `engine.Ordering`. One process after another over one home, which must be whole."""

    def __init__(self, program: Path, home: Path, rpc_address: str) -> None:
        self._program = program
        self._home = home
        self._rpc = CometRpc(rpc_address)
        self._process: CometProcess | None = None
        # Of its own, so that a CometBFT that hangs holds nothing up for long.
        self._questions = CometRpc(rpc_address, answer_s=_ANSWER_S)
        self._ask_at = 0.0

    def start(self) -> None:
        """See Ordering."""
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
        process = self._process
        if process is None:
            return "CometBFT is being started"
        try:
            process.check_running()
        except Unavailable as error:
            return str(error)
        return None

    def broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        """See Ordering."""
        return self._rpc.broadcast(txs)

    def renew_key(self) -> None:
        """See Ordering."""
        now = time.monotonic()
        if self._process is None or now < self._ask_at or not succession.has_successor(self._home):
            return
        self._ask_at = now + _ASK_S
        try:
            height, voting = self._questions.validators()
        except Unavailable:
            return  # it is being started, or hangs: that is told elsewhere
        try:
            heir = succession.find_heir(self._home, voting)
            if heir is not None:
                # First, since a full disk shows itself here, before anything is ended.
                succession.retire_key(self._home, height - 1)
                self._change_key(heir, height)
        except FieldpostError as error:
            self._ask_at = now + _AGAIN_S
            tell(_log, "validator-key-not-changed", error=error)

    def _change_key(self, heir: Path, height: int) -> None:
        address = validator_address(read_public_key(heir)).hex().upper()
        self.stop()
        try:
            succession.take_over(self._home, heir)
        finally:
            self.start()
        tell(_log, "validator-key-changed", validator=address, height=height)
