# SPDX-License-Identifier: Apache-2.0
"""Opening an operator's share of a replicated board: its CometBFT, its engine, its peers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fieldpost.checkin.evidence import make_evidence
from fieldpost.durable import make_dirs, write_file
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.engine import CometEngine
from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.engines.cometbft.home import (
    HomeSettings,
    comet_home,
    read_genesis,
    read_validator_key,
    write_config,
)
from fieldpost.engines.cometbft.ordering import CometOrdering
from fieldpost.engines.cometbft.program import check_program, find_program
from fieldpost.engines.operator_keys import own_name
from fieldpost.errors import Malformed, Misbehaviour, Misconfigured
from fieldpost.journal import tell
from fieldpost.ledger.reading import read_board
from fieldpost.node.config import NodeConfig
from fieldpost.node.peers import Peers
from fieldpost.records.board import BoardRecord

EVIDENCE: Final = "evidence"

_log = logging.getLogger(__name__)


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
            ),
        )
        return CometOrdering(program, home, settings.rpc_listen)

    engine = CometEngine(config.data, genesis=genesis, make_ordering=make_ordering, clock=clock)

    def own(record: BoardRecord) -> str | None:
        return own_name(keys_directory(config.data), record)

    def keep(peer: str, fork: Misbehaviour) -> None:
        ours, theirs = fork.evidence
        tell(_log, "peer-forks", peer=peer, error=fork)
        folder = config.data / EVIDENCE
        make_dirs(folder)
        evidence = make_evidence(engine.board, (ours, theirs), links=())
        write_file(folder / f"split-view-{peer}.cbor", evidence.encode())

    peers = Peers(
        engine.publisher, record=lambda: read_board(engine.newest_map), own=own, keep_evidence=keep
    )
    engine.before_close(peers.close)
    return engine
