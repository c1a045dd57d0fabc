# SPDX-License-Identifier: Apache-2.0
"""A node made anew from a mirror of its board and its own keys: `node restore` without a backup.

    DATA/restoring   a restore was begun; the same command finishes it
    DATA/restored    nobody has said yet that nothing was signed after what the mirror has

The mirror is believed no more than any other source: what it shows is verified, judged and must be
published by the board's operators, of which the keys here must be one's. What it cannot tell is
whether this node signed more; the mark beside the keys may, other mirrors may, or its operator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fieldpost.durable import OS, Disk, make_dirs, remove, write_file
from fieldpost.engines.board_files import is_board, keys_directory
from fieldpost.engines.mirrors import Mirror
from fieldpost.engines.operator_keys import check_keys, find_keys
from fieldpost.engines.recovery import Watch
from fieldpost.engines.restore import RESTORING, bring_keys
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.engines.tail import RESTORED
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.config import Limits
from fieldpost.node.mirrors import open_mirror
from fieldpost.node.service import NodeService
from fieldpost.store.blob_copy import copy_blobs
from fieldpost.store.blobs import FileBlobs
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.watch.mirror_blobs import BlobKeeper
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_engine import MirrorEngine
from fieldpost.watch.mirror_follow import BoardFollower
from fieldpost.watch.mirror_sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored: `size` entries, cosigned at `time` (Unix seconds).

    `signed` is the largest size that the keys remember having signed; larger than `size` where the
    mirror was behind. `missing_blobs` the mirror does not have either, `damaged` are wrong there.
    """

    board: str
    size: int
    time: int
    signed: int
    missing_blobs: int
    damaged: tuple[str, ...]


def restore_from_mirror(
    source: str,
    data: Path,
    *,
    keys: Path | None,
    newest: bool,
    clock: Callable[[], int],
    watch: Watch = lambda _done, _total: None,
    disk: Disk = OS,
) -> Restored:
    """Make the data folder `data` from the mirror `source`, a folder or a URL.

    `keys` is where the keys lie, if not in `data`. `newest`: the operator knows that nothing was
    signed after it. Raises Misconfigured where a board is already, and for keys of no operator of
    this one; Untrusted and Malformed for a mirror that shows what is not so; Unavailable.
    """
    if is_board(data) and not (data / RESTORING).exists():
        raise Misconfigured(f"{data} holds a board: restore into an empty folder")
    make_dirs(data, disk=disk)
    write_file(data / RESTORING, b"", disk=disk)
    bring_keys(None, data, keys, disk)
    check_keys(keys_directory(data))
    copy = BoardCopy(data, to_be_node=True, disk=disk)
    try:
        made = _fill(copy, source, clock=clock, watch=watch, disk=disk)
    finally:
        copy.close()
    if not newest:
        write_file(data / RESTORED, b"", disk=disk)
    remove(data / RESTORING, disk=disk)
    return made


def _fill(
    copy: BoardCopy, source: str, *, clock: Callable[[], int], watch: Watch, disk: Disk
) -> Restored:
    web = Source(source) if "://" in source else None
    mirror = web.mirror if web else open_mirror(source)
    try:
        note = _read_note(mirror, source)
        total = parse_checkpoint(parse_note(note).text).size
        verifiers = Verifiers(answer_s=60.0)
        try:
            BoardFollower(
                copy, verifiers, told=lambda one: watch(one.batch.state.size, total)
            ).step(mirror, note)
        finally:
            verifiers.close()
    finally:
        if web is not None:
            web.close()
    record, head, state = copy.record, copy.head, copy.state
    assert record is not None  # the step published something
    assert head is not None
    assert state is not None
    keys = keys_directory(copy.data)
    find_keys(keys, record)
    mark = SignedMark(keys, disk=disk)
    if 0 < mark.size <= head.size and not mark.is_of(copy.range_at(mark.size)):
        raise Misconfigured(
            f"the keys in {keys} signed another history at size {mark.size} than the board "
            "published: keep both, and do not start this node (docs/operations/lost-tail.md)"
        )
    if mark.size < head.size:
        mark.record(head.size, head.checkpoint.root)
    if web is None:
        damaged = copy_blobs(Path(source) / "blobs", copy.data / "blobs", disk=disk)
        missing = 0
    else:
        damaged, missing = [], _fetch_blobs(copy, source, clock)
    return Restored(
        board=state.board,
        size=head.size,
        time=head.timestamp,
        signed=mark.size,
        missing_blobs=missing,
        damaged=tuple(damaged),
    )


def _read_note(mirror: Mirror, source: str) -> bytes:
    try:
        return mirror.read("checkpoint", MAX_NOTE_BYTES)
    except NotFound:
        raise Misconfigured(f"{source} has no checkpoint: name a mirror or a backup") from None


def _fetch_blobs(copy: BoardCopy, url: str, clock: Callable[[], int]) -> int:
    """Fetch manifests and artifacts; how many the mirror does not have."""
    service = NodeService(
        engine=MirrorEngine(copy, elsewhere=url, trouble=lambda: None),
        blobs=FileBlobs(copy.data / "blobs"),
        log=copy.data / "log",
        catalog=copy.data / "catalog.db",
        limits=Limits(),
        metrics=Metrics(),
        clock=clock,
    )
    keeper = BlobKeeper(service, [url], data=copy.data, limits=Limits())
    try:
        keeper.fetch_missing()
        return keeper.missing()
    finally:
        keeper.close()
        service.close()
