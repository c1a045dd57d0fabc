# SPDX-License-Identifier: Apache-2.0
"""The same work in the wrong order, to show what each order is for.

Each replaces one function or class by `defences.without` alone. Nothing is left out, so without a
power cut nobody sees a difference.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from fieldpost.agent.slots.files import FileSlots
from fieldpost.durable import Disk, remove, replace_link, write_files
from fieldpost.engines.cometbft.application import Application
from fieldpost.engines.writer import BoardWriter, change_of
from fieldpost.keys import verify_signature
from fieldpost.ledger.batch import Included, Refused, apply_batch
from fieldpost.ledger.context import CheckSignature
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.store.growing_edge import GrowingEdge
from fieldpost.store.log_files import LogFiles

_COMMIT: Final = Application._commit  # noqa: SLF001 - the method that it stands for


def commit_state_first(
    self: BoardWriter,
    posts: Sequence[bytes],
    *,
    time: int,
    check_signature: CheckSignature = verify_signature,
    decode: Callable[[bytes], Post] = decode_post,
) -> tuple[Included | Refused, ...]:
    """`BoardWriter.commit`, the state transaction before the log."""
    batch = apply_batch(
        self.state, posts, time=time, check_signature=check_signature, decode=decode
    )
    if batch.entries:
        change = change_of(self.state.map, self.state.size, batch, decode)
        self.db.commit(change, keep=self.heads.oldest_size if self.heads else 0)
        self.log.append(batch.entries)
        self.follow(batch.state, batch.writes)
    return batch.outcomes


class CheckpointFirst(LogFiles):
    """A log whose entries are written after the checkpoint that signs them."""

    def __init__(
        self, root: Path, edge: GrowingEdge, disk: Disk, superseded: Sequence[Path]
    ) -> None:
        super().__init__(root, edge, disk, superseded)
        self._late: dict[Path, bytes] = {}

    def append(self, entries: Sequence[bytes]) -> None:
        """See `LogFiles`; the files wait."""
        self._edge, files = self._edge.grow(entries)
        self._late |= {self._root / path: data for path, data in files.items()}

    def write_checkpoint(self, note: bytes) -> None:
        """See `LogFiles`; what it signs comes now."""
        super().write_checkpoint(note)
        late, self._late = self._late, {}
        write_files(late, new=sorted({path.parent for path in late}), disk=self._disk)


def commit_unconfirmed(self: Application, request: Any) -> Any:
    """`Application._commit`, and the new state is agreed on before any block says so."""
    answer = _COMMIT(self, request)
    self._confirm()
    return answer


def commit_to_the_cache(connection: Connection, _mode: str, _path: Path) -> None:
    """In the place of `database.check_durable`: COMMIT returns before anything is on the medium."""
    connection.execute("PRAGMA synchronous = OFF")


def begin_trial_unnoted(self: FileSlots) -> None:
    """`FileSlots.begin_trial`, the link before the note of what to go back to."""
    name, before = self._other(), self._current() or ""
    replace_link(self._link, name, disk=self._disk)
    self._write_trial(name, before, booted=False)


def revert_unnoted(self: FileSlots) -> None:
    """`FileSlots.revert`, the note removed before the link is back."""
    trial = self._read_trial()
    if trial is not None:
        remove(self._trial, disk=self._disk)
        replace_link(self._link, trial[1], disk=self._disk)
