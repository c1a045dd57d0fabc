# SPDX-License-Identifier: Apache-2.0
"""What a device believes: board, maker, and the newest state that it verified.

It begins with a provisioning record that the maker's root signed (nothing is trusted on first use)
and changes only by what `verify.verify_bundle` or `way_out.believe_links` returns. Whoever keeps it
replaces the whole of it at once. The file form is the keeper's own; devices never exchange it.

    {1: board id, 2: board record, 3: board link, 4: maker id, 5: maker record, 6: maker link,
     7: size, 8: root, 9: timestamp, 10: bundle}                                8, 10 optional
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from fieldpost import cbor
from fieldpost.checkin.thresholds import by_kid, check_threshold, verify_signers
from fieldpost.checkin.views import view_board, view_maker
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import identifiers, limits
from fieldpost.records.board import BoardRecord
from fieldpost.records.fields import Fields, Reading
from fieldpost.records.maker import MakerRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.records.provisioning import ProvisioningRecord, decode_provisioning


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Everything that a check-in is judged by. `size` counts entries, `timestamp` Unix seconds.

    `board_record` and `maker_record` are the payloads of the links whose entries hash to
    `board_link` and `maker_link`. On a board that was just moved to, the record is not known yet
    and empty; the first check-in there asks for it. `root` is None before the first check-in.
    `bundle` is the last accepted one: evidence, if another history of its size turns up.
    """

    board: str
    board_record: bytes
    board_link: bytes
    maker: bytes
    maker_record: bytes
    maker_link: bytes
    size: int
    root: bytes | None
    timestamp: int
    bundle: bytes | None

    def board_view(self) -> BoardRecord:
        """The board record, parsed. Raises Malformed while it is not known."""
        return view_board(self.board_record)

    def maker_view(self) -> MakerRecord:
        """The maker record, parsed."""
        return view_maker(self.maker_record)

    @property
    def policy(self) -> DevicePolicy:
        """The maker's policy for its devices."""
        return self.maker_view().policy

    def encode(self) -> bytes:
        """Deterministic CBOR: what the device persists."""
        value: dict[int, object] = {
            1: self.board,
            2: self.board_record,
            3: self.board_link,
            4: self.maker,
            5: self.maker_record,
            6: self.maker_link,
            7: self.size,
            9: self.timestamp,
        }
        optional = {8: self.root, 10: self.bundle}
        value |= {label: field for label, field in optional.items() if field is not None}
        return cbor.encode(value)


def decode_belief(data: bytes) -> Belief:
    """Read what `Belief.encode` wrote. Raises Malformed, or Untrusted("unsupported")."""
    fields = Fields(cbor.decode(data), "belief")
    belief = Belief(
        board=fields.text(1, most=limits.MAX_ORIGIN + 33),
        board_record=fields.octets(2),
        board_link=fields.octets(3, length=32),
        maker=fields.octets(4, length=16),
        maker_record=fields.octets(5),
        maker_link=fields.octets(6, length=32),
        size=fields.uint(7),
        root=fields.octets(8, length=32) if fields.has(8) else None,
        timestamp=fields.uint(9),
        bundle=fields.octets(10, most=limits.MAX_PROOF_BYTES) if fields.has(10) else None,
    )
    fields.close(Reading.DEVICE)
    identifiers.origin_of(belief.board)
    belief.maker_view()
    if belief.board_record:
        belief.board_view()
    return belief


def begin_on_board(belief: Belief, policy: DevicePolicy) -> Belief:
    """The belief on the board that `policy` names: size, root and T start anew.

    The board's record is not known yet, only the digest of its link, which the maker signed.
    """
    return replace(
        belief,
        board=policy.board,
        board_record=b"",
        board_link=policy.board_link,
        size=policy.least_size,
        root=None,
        timestamp=0,
    )


def believe(
    provisioning_entry: bytes, *, algorithms: Collection[Algorithm] = frozenset(Algorithm)
) -> tuple[Belief, ProvisioningRecord]:
    """The first belief, from a `provisioning` statement signed by the maker's root threshold.

    Who signed is judged by the record's own root keys: the file is what the factory trusts, and its
    signature shows that it is whole and of one ceremony. `algorithms` are those that the device
    verifies. Raises Malformed, Untrusted("unsupported" | "bad-signature" |
    "provisioning-threshold" | "wrong-kind" | "wrong-board" | "wrong-maker").
    """
    post = decode_post(provisioning_entry)
    if post.statement.kind != "provisioning":
        raise Untrusted("wrong-kind", f"a {post.statement.kind} is no provisioning record")
    record = decode_provisioning(post.statement.payload, Reading.DEVICE)
    maker = view_maker(record.maker_record)
    board = view_board(record.board_record)
    roots = by_kid((entry.key for entry in maker.root.keys), algorithms)
    check_threshold(
        verify_signers(post, roots),
        roots,
        maker.root.threshold,
        reason="provisioning-threshold",
        what="the maker's root keys",
    )
    _check_claims(post, record)
    _check_maker(record, maker)
    _check_board(record, board, maker.policy)
    belief = Belief(
        board=record.board,
        board_record=record.board_record,
        board_link=record.board_link,
        maker=record.maker,
        maker_record=record.maker_record,
        maker_link=record.maker_link,
        size=max(record.least_size, maker.policy.least_size),
        root=None,
        timestamp=0,
        bundle=None,
    )
    return belief, record


def _check_claims(post: Post, record: ProvisioningRecord) -> None:
    claims = (post.statement.issuer, post.statement.subject, post.statement.audience)
    if claims != (record.maker.hex(), subjects.of_class(record.class_id), record.board):
        raise Malformed("provisioning record: issuer, subject or audience are not its own")


def _check_maker(record: ProvisioningRecord, maker: MakerRecord) -> None:
    # Later epochs may have other roots; there the id rests on the signature, and on the chain
    # that whoever made the file followed.
    roots = [entry.key for entry in maker.root.keys]
    if maker.epoch == 0 and identifiers.maker_id(roots, maker.root.threshold) != record.maker:
        raise Untrusted("wrong-maker", "the maker id is not that of these root keys")


def _check_board(record: ProvisioningRecord, board: BoardRecord, policy: DevicePolicy) -> None:
    if board.origin != identifiers.origin_of(record.board):
        raise Untrusted("wrong-board", f"the board record is of {board.origin}, not {record.board}")
    if policy.board != record.board:
        raise Untrusted("wrong-board", f"the maker's policy names {policy.board}")
    if board.epoch < policy.board_epoch or (
        board.epoch == policy.board_epoch and record.board_link != policy.board_link
    ):
        raise Untrusted("wrong-board", "the board record is not the one that the policy names")
