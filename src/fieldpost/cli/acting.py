# SPDX-License-Identifier: Apache-2.0
"""A maker that acts on its board: proven records, next nonces, and posts in a role's name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from time import time

from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.ceremony import Needed, Request, request_of
from fieldpost.cli.device_class import resolve_class
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import open_home
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.signing import conclude, conclude_request, needed_of
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.keys import Signer
from fieldpost.posts.envelope import Statement
from fieldpost.records import map_keys
from fieldpost.records.counters import Link
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record


class Acting:
    """The maker of a home on the board where it is registered."""

    def __init__(self, maker: MakerHome, board: Board, *, as_json: bool) -> None:
        self.maker = maker
        self.board = board
        self.as_json = as_json
        self.id = bytes.fromhex(maker.settings().maker)
        self.proven = ProvenBoard(board, board.id, now=int(time()))

    def record(self) -> tuple[MakerRecord, Link]:
        """The maker's own record and its link, proven. Raises NotFound, Untrusted."""
        key = map_keys.maker(self.id)
        value, link = self.proven.value(key), self.proven.link(key)
        if value is None or link is None:
            raise NotFound(
                "the board does not know this maker; `fieldpost maker register --board URL`"
            )
        return decode_maker_record(value).without_earlier_links(), link

    def record_to_replace(self) -> tuple[MakerRecord, Link]:
        """As `record`, for a link. Raises Misconfigured where links are posted elsewhere."""
        record, link = self.record()
        if record.policy.board != self.board.id:
            raise Misconfigured(
                f"your devices are on {record.policy.board}, and links are posted there: "
                "`fieldpost maker use` that board first"
            )
        return record, link

    def class_(self, name: str) -> tuple[ClassRecord, Link]:
        """One of the maker's classes and its link, proven. Raises NotFound, Untrusted."""
        key = map_keys.device_class(resolve_class(self.id, name))
        value, link = self.proven.value(key), self.proven.link(key)
        if value is None or link is None:
            raise NotFound(f"the board has no class {name}; add it with `fieldpost class add`")
        return decode_class_record(value), link

    def entry_of(self, path: str, link: Link) -> bytes | None:
        """The entry of a link, for people to compare with; None if the node does not have it."""
        entries = self.board.links(path, link.epoch - 1)
        return next((e for e in entries if sha256(e).digest() == link.digest), None)

    def request_in_role(
        self,
        role: Role,
        kind: str,
        subject: str,
        payload: Callable[[int], bytes],
        *,
        manifest: bytes | None = None,
    ) -> tuple[Request, list[Signer]]:
        """What a role may say, unsigned, and those of its keys that are here.

        `payload` makes the payload from its nonce; `manifest` is signed with it.
        """
        record, _ = self.record()
        needed = needed_of(record, role)
        if not needed.keys:
            raise NotFound(f"your record has no {needed.words}, so nobody can post a {kind}")
        signers = list(self.signers(record, role))
        if needed.count == 1:
            # The nonce is one key's own, so that key signs and no other.
            key = signers[0].public_key if signers else needed.keys[0]
            needed = Needed(needed.words, 1, (key,))
        nonce = next_nonce(
            self.board, maker=self.id, role=role, key=needed.keys[0], threshold=needed.count
        )
        statement = Statement(
            kind=kind,
            issuer=self.id.hex(),
            subject=subject,
            audience=self.board.id,
            payload=payload(nonce),
        )
        return request_of(statement, [needed], manifest=manifest), signers

    def post_in_role(
        self,
        role: Role,
        kind: str,
        subject: str,
        payload: Callable[[int], bytes],
        *,
        export: Path | None,
    ) -> dict[str, object]:
        """Sign and post what a role may say, or export it; what to tell the user."""
        request, signers = self.request_in_role(role, kind, subject, payload)
        return conclude_request(
            self.maker, self.board, request, signers, export=export, as_json=self.as_json
        )

    def signers(self, record: MakerRecord, role: Role) -> Iterator[Signer]:
        """The keys of a role that are here and that the record knows."""
        known = record.keys_of(role).by_kid()
        for signer in self.maker.present(role):
            if signer.public_key.thumbprint() in known:
                yield signer

    def post(
        self,
        statement: Statement,
        needed: Sequence[Needed],
        signers: Iterable[Signer],
        *,
        export: Path | None,
        previous: bytes | None = None,
    ) -> dict[str, object]:
        """Sign and post, or export; what to tell the user."""
        return conclude(
            self.maker,
            self.board,
            statement,
            needed,
            signers,
            export=export,
            as_json=self.as_json,
            previous=previous,
        )


def act(home: Path | None, passphrase_file: Path | None, *, as_json: bool) -> Acting:
    """The maker of a home on its board; sends first what an earlier command left."""
    maker = open_home(home, passphrase_file)
    return Acting(maker, bound_board(maker, as_json=as_json), as_json=as_json)
