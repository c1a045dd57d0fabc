# SPDX-License-Identifier: Apache-2.0
"""Opening a board's engine; at the first start, making keys and genesis before that."""

from collections.abc import Callable

from fieldpost.engines.board_files import create_board, is_board
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.recovery import Watch
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.node.config import NodeConfig
from fieldpost.records.identifiers import origin_of


def open_engine(
    config: NodeConfig, *, clock: Callable[[], int], watch: Watch | None = None
) -> EmbeddedEngine:
    """The engine over `config.data`; `watch` follows entries that must be applied again.

    Raises Misconfigured for an origin that is none or not this board's, and as the engine does.
    """
    if not is_board(config.data):
        try:
            create_board(config.data, now=clock(), origin=config.origin)
        except Malformed as error:
            raise Misconfigured(f"{error}; choose another --origin") from error
    engine = EmbeddedEngine(config.data, clock=clock, watch=watch)
    if config.origin is not None and origin_of(engine.board) != config.origin:
        found = origin_of(engine.board)
        engine.close()
        raise Misconfigured(
            f"{config.data} holds the board {found}; leave --origin away, "
            "or choose another data directory for a new board"
        )
    return engine
