# SPDX-License-Identifier: Apache-2.0
"""What CometBFT asks of a ledger, answered from one replica: the handlers of ABCI 2.0.

What must be equal on all nodes (InitChain, FinalizeBlock) follows from blocks alone. CheckTx only
keeps the mempool clean, and a proposal is taken as it comes: a bundle that cannot be read is
refused in the block, at the same place by everybody.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from fieldpost import __version__, cbor
from fieldpost.engines.base import Receipt
from fieldpost.engines.cometbft import messages
from fieldpost.engines.cometbft.abci import Handler
from fieldpost.engines.cometbft.base_log import parse_app_state
from fieldpost.engines.cometbft.replica import Base, Computed, Decided, Replica, validator_updates
from fieldpost.engines.cometbft.restoring import FetchLog, Restoring
from fieldpost.engines.cometbft.seen import SeenPosts, is_admissible
from fieldpost.engines.cometbft.snapshots import Snapshots
from fieldpost.engines.cometbft.transactions import decode_bundle
from fieldpost.engines.verification import Memory
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.journal import tell
from fieldpost.ledger.batch import Refused
from fieldpost.ledger.codes import Code

ABCI_VERSION: Final = "2.0.0"
# Of the application: another one makes CometBFT replay its blocks.
APP_VERSION: Final = 1
_ACCEPT: Final = 1
# Of the two kinds of misbehaviour that a block can prove, that of two votes for one round.
_DOUBLED: Final = 1

_log = logging.getLogger(__name__)

# Digests of a block's posts and what became of each.
Settled = Sequence[tuple[bytes, Receipt | Refused]]


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that was decided and is not durable yet."""

    height: int
    decided: Decided
    memory: Memory
    digests: list[bytes]


class Application:
    """The handlers over `replica`. `agree` hears of sizes that a later block confirmed.

    `settled` hears what became of a block's posts once they are durable; `keep` gives the oldest
    size that is still published; `fetch_log` fetches the log of a snapshot. All of it on CometBFT's
    connections' threads.
    """

    def __init__(
        self,
        replica: Replica,
        base: Base,
        *,
        origin: str,
        seen: SeenPosts,
        keep: Callable[[], int],
        agree: Callable[[Computed], None],
        settled: Callable[[Settled], None],
        snapshots: Snapshots,
        fetch_log: FetchLog,
    ) -> None:
        self._replica = replica
        self._base = base
        self._origin = origin
        self._seen = seen
        self._keep = keep
        self._agree = agree
        self._settled = settled
        self._snapshots = snapshots
        self._restoring = Restoring(replica, fetch_log)
        self._agreed = 0
        self._block: _Block | None = None
        self._lock = threading.Lock()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the name of the request."""
        return {
            "info": self._info,
            "init_chain": self._init_chain,
            "query": self._query,
            "check_tx": self._check_tx,
            "prepare_proposal": self._prepare,
            "process_proposal": self._process,
            "finalize_block": self._finalize,
            "commit": self._commit,
            "list_snapshots": lambda _: self._snapshots.list(),
            "load_snapshot_chunk": self._snapshots.load,
            "offer_snapshot": self._restoring.offer,
            "apply_snapshot_chunk": self._restoring.apply,
        }

    def _info(self, request: Any) -> Any:
        if request.abci_version != ABCI_VERSION:
            raise Misconfigured(
                f"CometBFT speaks ABCI {request.abci_version or 'unknown'}, this program "
                f"{ABCI_VERSION}: install the pinned version, `make cluster-deps`"
            )
        replica = self._replica
        return messages.InfoResponse(
            data="fieldpost",
            version=__version__,
            app_version=APP_VERSION,
            last_block_height=replica.height,
            last_block_app_hash=replica.root if replica.height else b"",
        )

    def _init_chain(self, request: Any) -> Any:
        base = parse_app_state(request.app_state_bytes)
        if base != self._base or self._replica.height:
            raise Misconfigured(
                "CometBFT begins another chain than this node's log: its genesis file is not the "
                "one of this data directory"
            )
        return messages.InitChainResponse(app_hash=base.root)

    def _query(self, _request: Any) -> Any:
        return messages.QueryResponse(code=1, log="read the board over the node's HTTP API")

    def _check_tx(self, request: Any) -> Any:
        try:
            posts = decode_bundle(request.tx)
        except Malformed as error:
            return messages.CheckTxResponse(code=int(Code.MALFORMED), log=str(error))
        replica = self._replica
        read, valid = self._seen.look(posts, replica.state.map)
        found = frozenset(valid)
        if not all(is_admissible(post, found, replica.state.board) for post in read):
            return messages.CheckTxResponse(
                code=int(Code.BAD_SIGNATURE), log="a post of the bundle is not validly signed"
            )
        return messages.CheckTxResponse()

    def _prepare(self, request: Any) -> Any:
        return messages.PrepareResponse(txs=request.txs)

    def _process(self, _request: Any) -> Any:
        return messages.ProcessResponse(status=_ACCEPT)

    def _finalize(self, request: Any) -> Any:
        with self._lock:
            replica = self._replica
            # That this block was decided says that its header's hash, which is that of our state,
            # is what the operators computed: CometBFT would have stopped otherwise.
            self._confirm()
            for found in request.misbehavior:
                _tell_misbehaviour(found)
            bundles = [_read(tx) for tx in request.txs]
            posts = [post for bundle in bundles for post in bundle]
            memory = self._seen.memory(posts, replica.state.map)
            decided = replica.decide(posts, time=request.time.seconds, memory=memory)
            digests = [sha256(post).digest() for post in posts]
            self._block = _Block(request.height, decided, memory, digests)
            outcomes = iter(decided.outcomes)
            return messages.FinalizeResponse(
                tx_results=[
                    messages.TxResult(data=_codes([next(outcomes) for _ in bundle]))
                    if bundle
                    else messages.TxResult(code=int(Code.MALFORMED))
                    for bundle in bundles
                ],
                validator_updates=[
                    messages.ValidatorUpdate(pub_key=messages.Key(ed25519=key), power=power)
                    for key, power in validator_updates(replica.state, decided.batch.state).items()
                ],
                app_hash=decided.root,
            )

    def _confirm(self) -> None:
        """The operators agreed on the state that this replica has."""
        if self._replica.state.size > self._agreed:
            self._agree(self._replica.computed(self._origin))
            self._agreed = self._replica.state.size

    def _commit(self, _request: Any) -> Any:
        with self._lock:
            block = self._block
            if block is None:
                raise Misconfigured("CometBFT commits a block that it did not show")
            self._block = None
            self._replica.commit(
                block.decided, block.height, keep=self._keep(), memory=block.memory
            )
            if self._snapshots.is_due(block.height):
                self._snapshots.keep(block.height, self._replica.computed(self._origin))
            self._seen.forget(block.digests)
            self._settled(list(zip(block.digests, block.decided.outcomes, strict=True)))
            return messages.CommitResponse()


def _tell_misbehaviour(found: Any) -> None:
    validator = found.validator.address.hex().upper()
    if found.type == _DOUBLED:
        tell(_log, "validator-key-doubled", validator=validator, height=found.height)
    else:
        tell(_log, "validator-misbehaved", validator=validator, height=found.height)


def _read(tx: bytes) -> tuple[bytes, ...]:
    try:
        return decode_bundle(tx)
    except Malformed:
        return ()


def _codes(outcomes: Sequence[Receipt | Refused]) -> bytes:
    """0 for an included post, the ledger's code for a refused one."""
    return cbor.encode(
        tuple(outcome.code if isinstance(outcome, Refused) else 0 for outcome in outcomes)
    )
