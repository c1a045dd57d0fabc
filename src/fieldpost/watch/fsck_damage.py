# SPDX-License-Identifier: Apache-2.0
"""Which files of a log are damaged, where it does not hold (docs/spec/log.md).

Of every 256 entries there are three accounts: the bundle itself, its tile, and one hash in the tile
above. Whatever account of the whole log makes the checkpoint's root is the truth, and each file
that says something else is damaged, however many of them there are. Where none does, the files
that contradict each other are named, each with the other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final

from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    decode_entry_bundle,
    decode_tile,
    entries_path,
    tile_at,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree
from fieldpost.tlog.treehead import Checkpoint
from fieldpost.watch.fsck_log import BUNDLE_LEVEL, Read

MOST_NAMED: Final = 100
_OTHERWISE: Final = "it is damaged: the rest of the log and the checkpoint's root make it otherwise"
# What one file says of the hashes below it; None where it says nothing, and `wrong` has the reason.
_Leaves = list[Hash] | None
# The roots of whole bundles, and the leaves behind them.
_Truth = tuple[list[Hash], list[Hash]]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file below the log's folder, and what is wrong with it."""

    path: str
    what: str


@dataclass(slots=True)
class _Accounts:
    """What the files of one log say. Roots of whole bundles, and the leaves of the last one."""

    bundles: list[Hash | None] = field(default_factory=list)
    tiles: list[Hash | None] = field(default_factory=list)
    above: list[Hash | None] = field(default_factory=list)
    last_bundle: _Leaves = field(default_factory=list)
    last_tile: _Leaves = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)


def find_damage(read: Read, heads: Sequence[Checkpoint]) -> tuple[Checkpoint, list[Damage]]:
    """The first of `heads` that the files prove, or else the first; and what is damaged below it.

    Where a later head is proven and the first is of the same log, both are: wider files of the
    last entries prove it too. Nothing is damaged where every file is what that head signs. At most
    `MOST_NAMED` are named.
    Raises what `read` raises for files that may not be read.
    """
    found: list[tuple[Checkpoint, list[Damage]]] = []
    asked: set[tuple[int, Hash]] = set()
    for head in heads:
        if (head.size, head.root) in asked:
            continue
        asked.add((head.size, head.root))
        truth, damage = _survey(read, head)
        if truth is None:
            found.append((head, damage))
            continue
        if not found:
            return head, damage
        first = found[0][0]
        if (start := _start_of(read, truth, first)) is None:
            return head, damage
        both = dict.fromkeys([*_survey(read, first, start)[1], *damage])
        return first, [*islice(both, MOST_NAMED)]
    return found[0]


def _start_of(read: Read, truth: _Truth, head: Checkpoint) -> _Truth | None:
    """The truth of an older head, out of that of a newer one; None if it is not of the same log."""
    roots, last = truth
    index, width = divmod(head.size, FULL_WIDTH)
    if head.size > len(roots) * FULL_WIDTH + len(last):
        return None
    leaves = _proven(read, Tile(0, index), roots[index]) if index < len(roots) else last
    if leaves is None:
        return None
    start = roots[:index], leaves[:width]
    return start if _root(*start) == head.root else None


def _proven(read: Read, tile: Tile, root: Hash) -> _Leaves:
    """The leaves of a whole bundle of which the root is known."""
    wrong: dict[str, str] = {}
    for path, decode in (
        (entries_path(tile), partial(_hashes, width=FULL_WIDTH)),
        (tile_path(tile), partial(decode_tile, tile)),
    ):
        leaves = _leaves(read, path, decode, wrong)
        if leaves is not None and MemoryTree(leaves).root() == root:
            return leaves
    return None


def _survey(
    read: Read, head: Checkpoint, truth: _Truth | None = None
) -> tuple[_Truth | None, list[Damage]]:
    """What of the files proves `head`, and which of them do not belong.

    `truth` if it is known already.
    """
    accounts = _ask(read, head.size)
    if len(accounts.wrong) > MOST_NAMED:
        more = Damage("checkpoint", "there may be more; mend these first, or doubt its size")
        return None, [*(Damage(*one) for one in islice(accounts.wrong.items(), MOST_NAMED)), more]
    truth = truth or _truth(accounts, head)
    if truth is None:
        named = [*_contradictions(accounts, head.size)]
    else:
        named = [*_wrong(accounts, head.size, *truth), *_wrong_above(read, head.size, truth[0])]
    damage = dict(accounts.wrong)
    for one in named:
        damage.setdefault(one.path, one.what)
    return truth, [Damage(*one) for one in islice(damage.items(), MOST_NAMED)]


def _ask(read: Read, size: int) -> _Accounts:
    """Every bundle, its tile, and what stands above."""
    accounts = _Accounts()
    wrong = accounts.wrong
    above: _Leaves = None
    for index in range(-(-size // FULL_WIDTH)):
        if len(wrong) > MOST_NAMED:
            break
        tile = tile_at(level=0, index=index, size=size)
        bundle = _leaves(read, entries_path(tile), partial(_hashes, width=tile.width), wrong)
        told = _leaves(read, tile_path(tile), partial(decode_tile, tile), wrong)
        if tile.width < FULL_WIDTH:
            accounts.last_bundle, accounts.last_tile = bundle, told
            break
        if index % FULL_WIDTH == 0:
            upper = tile_at(level=1, index=index // FULL_WIDTH, size=size)
            above = _leaves(read, tile_path(upper), partial(decode_tile, upper), wrong)
        accounts.bundles.append(None if bundle is None else MemoryTree(bundle).root())
        accounts.tiles.append(None if told is None else MemoryTree(told).root())
        accounts.above.append(None if above is None else above[index % FULL_WIDTH])
    return accounts


def _leaves(
    read: Read, path: str, decode: Callable[[bytes], list[Hash]], wrong: dict[str, str]
) -> _Leaves:
    try:
        return decode(read(path))
    except Malformed as error:
        wrong[path] = f"it is damaged: {error}"
    except NotFound:
        wrong[path] = "it is missing"
    except Untrusted as error:
        wrong[path] = error.detail
    return None


def _hashes(data: bytes, *, width: int) -> list[Hash]:
    entries = decode_entry_bundle(data)
    if len(entries) != width:
        raise Malformed(f"{len(entries)} entries instead of {width}")
    return [leaf_hash(entry) for entry in entries]


def _truth(accounts: _Accounts, head: Checkpoint) -> _Truth | None:
    """The roots of whole bundles and the last leaves that make the head's root; None if none do."""
    sources = (accounts.bundles, accounts.tiles, accounts.above)
    for first in range(3):
        for agreed in (True, False):
            order = [sources[(first + step) % 3] for step in range(3)]
            roots = [_choose(votes, agreed=agreed) for votes in zip(*order, strict=True)]
            known = [root for root in roots if root is not None]
            if len(known) < len(roots):
                continue
            for last in (accounts.last_bundle, accounts.last_tile):
                if last is not None and _root(known, last) == head.root:
                    return known, last
    return None


def _choose(votes: Sequence[Hash | None], *, agreed: bool) -> Hash | None:
    """What two of three say, if that is asked for; else what the first says that says anything."""
    said = [vote for vote in votes if vote is not None]
    if agreed and said:
        return max(said, key=said.count)
    return said[0] if said else None


def _root(bundle_roots: Sequence[Hash], last: Sequence[Hash]) -> Hash:
    above = CompactRange.empty().extend(bundle_roots)
    return CompactRange(above.size * FULL_WIDTH, above.hashes).extend(last).root()


def _votes(accounts: _Accounts, size: int) -> Iterator[dict[str, object]]:
    """By place in the log: what each file says of it, unless it says nothing."""
    whole = zip(accounts.bundles, accounts.tiles, accounts.above, strict=True)
    for index, (bundle, told, above) in enumerate(whole):
        tile = Tile(0, index)
        upper = tile_at(level=1, index=index // FULL_WIDTH, size=size)
        yield {entries_path(tile): bundle, tile_path(tile): told, tile_path(upper): above}
    if size % FULL_WIDTH:
        tile = tile_at(level=0, index=size // FULL_WIDTH, size=size)
        yield {entries_path(tile): accounts.last_bundle, tile_path(tile): accounts.last_tile}


def _wrong(
    accounts: _Accounts, size: int, roots: Sequence[Hash], last: list[Hash]
) -> Iterator[Damage]:
    """What contradicts the truth, at the lowest level."""
    for index, votes in enumerate(_votes(accounts, size)):
        true: object = roots[index] if index < len(roots) else last
        for path, vote in votes.items():
            if vote is not None and vote != true:
                yield Damage(path, _OTHERWISE)


def _wrong_above(read: Read, size: int, roots: Sequence[Hash]) -> Iterator[Damage]:
    """Tiles of higher levels that are not what the roots of bundles make."""
    upper = MemoryTree(roots)
    for tile in tiles_for(0, size):
        if tile.level:
            wrong: dict[str, str] = {}
            told = _leaves(read, tile_path(tile), partial(decode_tile, tile), wrong)
            at = [(level - BUNDLE_LEVEL, index) for level, index in tile.positions()]
            if told != upper.read_hashes(at):
                yield Damage(tile_path(tile), wrong.get(tile_path(tile), _OTHERWISE))


def _contradictions(accounts: _Accounts, size: int) -> Iterator[Damage]:
    """Files that do not belong together: the one that two others outvote, or all of them."""
    is_open = False
    for votes in _votes(accounts, size):
        said = {path: vote for path, vote in votes.items() if vote is not None}
        agreed = [vote for vote in said.values() if list(said.values()).count(vote) > 1]
        is_open = is_open or not agreed
        for path, vote in said.items():
            others = " or ".join(other for other in said if other != path)
            if not agreed and others:
                yield Damage(path, f"it or {others} is damaged: they do not belong together")
            elif not agreed:
                yield Damage(path, "it may be damaged: nothing that would prove it is whole")
            elif vote != agreed[0]:
                yield Damage(path, "it is damaged: two other files agree on something else")
    if not is_open:
        yield Damage(
            "checkpoint",
            "it is damaged, or of another log: entries and tiles agree, but do not "
            "make the root that it states",
        )
