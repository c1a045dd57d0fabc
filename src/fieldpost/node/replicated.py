# SPDX-License-Identifier: Apache-2.0
"""Opening an operator's share of a replicated board: its CometBFT, its engine, its peers."""

from collections.abc import Callable
from pathlib import Path

from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.engine import CometEngine
from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.engines.cometbft.home import (
    HomeSettings,
    StateSync,
    comet_home,
    has_blocks,
    read_genesis,
    read_validator_key,
    write_config,
)
from fieldpost.engines.cometbft.moving import copy_exactly
from fieldpost.engines.cometbft.ordering import CometOrdering
from fieldpost.engines.cometbft.program import check_program, find_program
from fieldpost.engines.cometbft.snapshots import Snapshots
from fieldpost.engines.operator_keys import own_name
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Unavailable
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.node.api.light import PATH
from fieldpost.node.config import NodeConfig
from fieldpost.node.mirrors import open_mirror
from fieldpost.node.peer_evidence import PeerEvidence
from fieldpost.node.peers import Peers
from fieldpost.node.trusted_block import agree_on_block
from fieldpost.records.board import BoardRecord
from fieldpost.store.log_files import LogFiles
from fieldpost.tlog.hashing import Hash


def open_replicated(config: NodeConfig, *, clock: Callable[[], int]) -> CometEngine:
    """The engine over `config.data`, with CometBFT running and peers followed; close it.

    Raises Misconfigured, saying what to do; Unavailable.
    """
    home = comet_home(config.data)
    file = read_genesis(home)
    if file is None:
        raise Misconfigured(
            f"{home}/config/genesis.json is missing: the operators make it together with "
            "`fieldpost operator genesis`, and each puts it into its data folder"
        )
    try:
        genesis = decode_genesis(file)
    except Malformed as error:
        raise Misconfigured(f"{home}/config/genesis.json: {error}") from error
    read_validator_key(home)
    settings = config.cometbft
    program = find_program(settings.program)
    check_program(program)

    state_sync = None
    if settings.state_sync and not has_blocks(home):
        block = agree_on_block(settings.state_sync)
        servers = tuple(f"{url.rstrip('/')}{PATH}" for url in settings.state_sync)
        state_sync = StateSync(servers=servers, height=block.height, hash=block.hash)

    def make_ordering(socket: Path) -> CometOrdering:
        write_config(
            home,
            HomeSettings(
                name=genesis.board.partition("/")[0],
                application=f"unix://{socket}",
                p2p_listen=settings.p2p_listen,
                p2p_address=settings.p2p_address,
                rpc_listen=settings.rpc_listen,
                peers=settings.peers,
                timeout_commit_ms=settings.timeout_commit_ms,
                state_sync=state_sync,
            ),
        )
        return CometOrdering(program, home, settings.rpc_listen)

    engine = CometEngine(
        config.data,
        genesis=genesis,
        make_ordering=make_ordering,
        clock=clock,
        fetch_log=fetch_log,
        snapshots=Snapshots(every=settings.snapshot_blocks),
    )

    def own(record: BoardRecord) -> str | None:
        return own_name(keys_directory(config.data), record)

    peers = Peers(
        engine.publisher,
        record=lambda: read_board(engine.newest_map),
        own=own,
        keep_evidence=PeerEvidence(config.data, engine.board).keep,
    )
    engine.before_close(peers.close)
    return engine


def fetch_log(log: LogFiles, state: LedgerState, root: Hash) -> None:
    """The log of a snapshot, from whichever operator of its record has it.

    Raises Unavailable, which names what each of them said.
    """
    troubles: list[str] = []
    for operator in read_board(state.map).operators:
        for url in operator.urls:
            try:
                copy_exactly(log, open_mirror(url), size=state.size, root=root)
            except FieldpostError as error:
                troubles.append(str(error))
            else:
                return
    raise Unavailable(f"no operator has the log of the snapshot: {'; '.join(troubles)}")
