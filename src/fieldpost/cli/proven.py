# SPDX-License-Identifier: Apache-2.0
"""Values of a board's state, each proven on the spot (docs/spec/check-in.md).

From nothing but a board id: the genesis must hash to it, every later link of the board is signed by
the quorum before it, and every value comes with its proof up to a checkpoint under the quorum of
the operators (and as many witnesses as the board's record demands). The node is not believed.
"""

from hashlib import sha256

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.chains import Tip, follow_board_links
from fieldpost.checkin.quorum import cosigners_of, verify_quorum
from fieldpost.checkin.verify import EVERY_ALGORITHM, check_not_older, verify_state
from fieldpost.cli.board_access import Board
from fieldpost.cli.board_chain import read_chain
from fieldpost.client.transport import HttpClient
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.counters import Link
from fieldpost.records.identifiers import origin_of
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.policy import DevicePolicy


class ProvenBoard:
    """The state of the board with id `board_id`, as `board` serves it.

    `now`: Unix seconds, or None. `policy` is a maker's for its devices, whose witnesses then count
    instead of the board's. `timestamp` is the oldest T of the proofs so far; `size` the smallest
    tree that they are about.
    """

    def __init__(
        self, board: Board, board_id: str, *, now: int | None, policy: DevicePolicy | None = None
    ) -> None:
        self.board = board
        self.id = board_id
        self._policy = policy
        self.size: int | None = None
        self.timestamp: int | None = None
        self._now = now
        self._tip: Tip | None = None

    def value(self, key: bytes) -> bytes | None:
        """The value under a map key; None is a proven absence.

        Raises Untrusted with the reason of what does not hold, Unavailable.
        """
        return self.board.ask(lambda client: self._prove(client, key))

    def _prove(self, client: HttpClient, key: bytes) -> bytes | None:
        data = client.fetch(f"/v1/proof/{key.hex()}", most_bytes=MAX_PROOF_BYTES)
        bundle = decode_bundle(data, most_bytes=MAX_PROOF_BYTES)
        leaf, checkpoint = verify_state(bundle, key, origin=origin_of(self.id))
        if self._policy is not None:
            check_not_older(checkpoint.size, self._policy.least_size)
        record = self._record(client, leaf.board_link)
        policy = self._policy or _witnesses_of(self.id, record)
        timestamp = verify_quorum(
            checkpoint,
            bundle.cosignatures,
            cosigners=cosigners_of(record, policy, EVERY_ALGORITHM),
            clock=self._now,
        )
        self.size = min(checkpoint.size, self.size or checkpoint.size)
        self.timestamp = min(timestamp, self.timestamp or timestamp)
        return bundle.value

    def link(self, record_key: bytes) -> Link | None:
        """The last link of the record under `record_key`."""
        value = self.value(map_keys.link(record_key))
        return None if value is None else Link.decode(value)

    def _record(self, client: HttpClient, link: bytes) -> BoardRecord:
        if self._tip is None or self._tip.link != link:
            entries = read_chain(client, self.id)
            genesis = Tip(decode_post(entries[0]).statement.payload, sha256(entries[0]).digest())
            self._tip = follow_board_links(genesis, entries[1:], until=link, board=self.id)
        return decode_board_record(self._tip.record)


def _witnesses_of(board_id: str, record: BoardRecord) -> DevicePolicy:
    return DevicePolicy(
        board=board_id,
        urls=(),
        board_epoch=0,
        board_link=b"",
        least_size=0,
        witnesses=tuple(witness.key for witness in record.witnesses),
        witnesses_needed=record.witnesses_needed,
    )
