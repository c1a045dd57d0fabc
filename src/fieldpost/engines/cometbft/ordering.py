# SPDX-License-Identifier: Apache-2.0
"""CometBFT as the engine sees it: something that is started, takes transactions, and may fail."""

from collections.abc import Sequence
from pathlib import Path

from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.rpc import CometRpc
from fieldpost.errors import FieldpostError, Unavailable


class CometOrdering:
    """See `engine.Ordering`. One process after another over one home, which must be whole."""

    def __init__(self, program: Path, home: Path, rpc_address: str) -> None:
        self._program = program
        self._home = home
        self._rpc = CometRpc(rpc_address)
        self._process: CometProcess | None = None

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
