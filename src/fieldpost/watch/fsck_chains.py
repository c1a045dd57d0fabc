# SPDX-License-Identifier: Apache-2.0
"""The chains of the board and of every maker, followed once more as devices follow them.

The rules have judged every link already. Devices judge by code of their own and from the links
alone, so both must come to the same end: the link that the state states.
"""

from collections.abc import Iterator
from hashlib import sha256

from fieldpost.checkin.chains import Tip, follow_board_links, follow_maker_links
from fieldpost.engines.replaying import Replayed
from fieldpost.errors import Malformed, Untrusted
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.links import linked_record
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import Link


class ChainCheck:
    """Collects the links of a log, batch by batch."""

    def __init__(self) -> None:
        self._board: list[bytes] = []
        self._makers: dict[bytes, list[bytes]] = {}
        self._carried: set[bytes] = set()
        self.classes = 0
        self.leaves = 0

    def follow(self, replayed: Replayed) -> None:
        """The next batch of the log."""
        self.leaves += 1
        # Of genesis nobody was asked ahead.
        decode = decode_post if replayed.before is None else replayed.decode
        for entry in replayed.batch.entries[:-1]:
            statement = decode(entry).statement
            match statement.kind:
                case "genesis" | "board.set":
                    self._board.append(entry)
                case "maker.register" | "maker.set":
                    self._take(statement.subject, entry)
                case "class.set":
                    self.classes += 1

    def _take(self, subject: str, entry: bytes) -> None:
        maker = bytes.fromhex(subject)
        if linked_record(decode_post(entry)) is None:
            # The links so far are in the record itself, and each names another board.
            self._carried.add(maker)
        else:
            self._makers.setdefault(maker, []).append(entry)

    @property
    def makers(self) -> int:
        """How many makers have a chain here."""
        return len(self._makers)

    @property
    def carried(self) -> int:
        """How many makers brought a chain from another board, of which the rules alone judge."""
        return len(self._carried)

    def wrong(self, state: LedgerState) -> Iterator[str]:
        """What devices would refuse of the chains that led to `state`."""
        try:
            first, *rest = self._board
            end = _end(state, map_keys.board())
            follow_board_links(_tip(first), rest, until=end, board=state.board)
        except (Malformed, Untrusted) as error:
            yield f"the board's chain of links: {error}"
        for maker, entries in self._makers.items():
            try:
                end = _end(state, map_keys.maker(maker))
                follow_maker_links(_tip(entries[0]), entries[1:], until=end, maker=maker)
            except (Malformed, Untrusted) as error:
                yield f"the chain of links of maker {maker.hex()}: {error}"


def _tip(entry: bytes) -> Tip:
    return Tip(decode_post(entry).statement.payload, sha256(entry).digest())


def _end(state: LedgerState, record_key: bytes) -> bytes:
    """The last link of a record, as the state states it. Raises Untrusted if there is none."""
    value = state.map.value(map_keys.link(record_key))
    if value is None:
        raise Untrusted("bad-link", "the state has no such link")
    return Link.decode(value).digest
