# SPDX-License-Identifier: Apache-2.0
"""Opening a board's engine; at the first start, making keys and genesis before that."""

from collections.abc import Callable

from fieldpost.engines.backup import MOVED
from fieldpost.engines.base import WritingEngine
from fieldpost.engines.board_files import create_board, has_signed, is_board
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.recovery import Watch
from fieldpost.engines.restore import check_usable
from fieldpost.engines.tail import is_restored
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.node.config import COMETBFT, NodeConfig
from fieldpost.node.mirrors import asking
from fieldpost.records.identifiers import origin_of


def open_engine(
    config: NodeConfig, *, clock: Callable[[], int], watch: Watch | None = None
) -> WritingEngine:
    """The engine over `config.data`; `watch` follows entries that must be applied again.

    Raises Misconfigured for an origin that is none or not this board's, and as the engine does.
    """
    if config.engine == COMETBFT:
        # Only who runs such a board needs protobuf.
        from fieldpost.node.replicated import open_replicated

        return open_replicated(config, clock=clock)
    _check_whole(config)
    ask_mirrors = asking(config.data, config.mirrors, watch=watch) if config.mirrors else None
    # With keys that have signed, an empty folder is a lost log and never a new board.
    if not is_board(config.data) and not has_signed(config.data):
        try:
            create_board(config.data, now=clock(), origin=config.origin)
        except Malformed as error:
            raise Misconfigured(f"{error}; choose another --origin") from error
    engine = EmbeddedEngine(
        config.data,
        clock=clock,
        watch=watch,
        ask_mirrors=ask_mirrors,
        reserve_bytes=config.limits.head_reserve_bytes,
    )
    if config.origin is not None and origin_of(engine.board) != config.origin:
        found = origin_of(engine.board)
        engine.close()
        raise Misconfigured(
            f"{config.data} holds the board {found}; leave --origin away, "
            "or choose another data directory for a new board"
        )
    return engine


def _check_whole(config: NodeConfig) -> None:
    check_usable(config.data)
    moved = config.data / MOVED
    if moved.exists():
        raise Misconfigured(
            f"this node was moved away, by a final backup into {moved.read_text().strip()}: start "
            f"it where that was restored. Two of them would sign two histories; only if none was "
            f"ever started from it, remove {moved}"
        )
    if is_restored(config.data) and not config.mirrors:
        raise Misconfigured(
            f"{config.data} was restored from a backup, which may be older than what this node "
            "signed last: name a copy that followed the board with --mirror (or `mirrors` in the "
            "settings); where nothing was signed after the backup, say so: `fieldpost node "
            f"restore --newest --data {config.data}`; otherwise see docs/operations/lost-tail.md"
        )
