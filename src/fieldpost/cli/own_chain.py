# SPDX-License-Identifier: Apache-2.0
"""A maker's own chain of links, wherever they were posted: from its home, and from its boards.

    HOME/sent/*.cose     links that a board acknowledged
    HOME/links/*.cose    links that no board took, since it was gone

A further board takes the whole chain in one entry, and devices whose board died take it from the
maker's link URLs: so it must not depend on any board. It is verified from the maker id on, as a
board does it (docs/spec/rules.md, maker.register); whoever delivers a link need not be trusted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from fieldpost import durable
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import note
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.views import octets
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, NotFound, Rejected, Untrusted
from fieldpost.keys import SIGNATURE_BYTES, verify_signature
from fieldpost.ledger.context import Context
from fieldpost.ledger.maker_chain import ChainLink, read_chain
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post, PostSignature, Statement, decode_post
from fieldpost.records.counters import Link
from fieldpost.records.limits import MAX_ENTRY_BYTES
from fieldpost.records.maker import MakerRecord, decode_maker_record

_KINDS = ("maker.register", "maker.set")


@dataclass(frozen=True, slots=True)
class OwnChain:
    """The links from epoch 0 on, verified; `steps` say what each of `entries` is."""

    entries: tuple[bytes, ...]
    steps: tuple[ChainLink, ...]

    @property
    def record(self) -> MakerRecord:
        """The maker's record after the last link."""
        return self.steps[-1].record

    @property
    def link(self) -> Link:
        """Epoch and digest of the last link."""
        return Link(self.record.epoch, self.steps[-1].digest)

    def registration(self, maker: bytes, board: str) -> Statement:
        """What registers the maker on a further board."""
        return Statement(
            kind="maker.register",
            issuer=maker.hex(),
            subject=subjects.of_maker(maker),
            audience=board,
            payload=replace(self.record, earlier_links=self.entries).encode(),
        )

    def entry_bytes(self, maker: bytes, board: str, *, endorsed: bool = False) -> int:
        """How long the entry is that takes the chain to a board, with its signatures."""
        root = self.record.root
        keys = [entry.key for entry in root.keys]
        largest = sorted(keys, key=lambda key: SIGNATURE_BYTES[key.algorithm], reverse=True)
        signatures = [
            PostSignature(key.thumbprint(), key.algorithm, bytes(SIGNATURE_BYTES[key.algorithm]))
            for key in largest[: root.threshold]
        ]
        post = Post(self.registration(maker, board), tuple(sorted(signatures, key=lambda s: s.kid)))
        # An endorsement: kid, algorithm and Ed25519 signature of an operator, and tag 98 around.
        return len(post.encode()) + (160 if endorsed else 0)

    def check_fits(self, maker: bytes, board: str, *, endorsed: bool, more_bytes: int = 0) -> None:
        """Raises Misconfigured if no board can take so long a chain, and a link of `more_bytes`."""
        count = self.entry_bytes(maker, board, endorsed=endorsed) + more_bytes
        if count > MAX_ENTRY_BYTES:
            raise Misconfigured(
                f"your {len(self.entries)} links make a registration of {count} bytes, and an "
                f"entry of any board has at most {MAX_ENTRY_BYTES}: this maker cannot move. "
                "Register there as a new maker, with a --home of its own, for devices that you "
                "provision from now on; those in the field stay on their board"
            )


def gather_chain(
    maker: MakerHome, boards: Iterable[Board], *, as_json: bool = False
) -> OwnChain | None:
    """The longest chain that home and boards know of; None where nobody knows a link.

    A board that does not answer is passed over, and said so. Raises NotFound if a link in the
    middle is missing, Untrusted if what looks like a link is none.
    """
    maker_id = bytes.fromhex(maker.settings().maker)
    found: dict[bytes, bytes] = {}
    sources = [_at_home(maker)]
    for board in boards:
        try:
            sources.append(_on_board(board, maker_id))
        except NotFound:
            continue
        except FieldpostError as error:
            note(f"{board.url} was not asked for your links: {error}", as_json=as_json)
    for entry in (entry for entries in sources for entry in entries):
        found[sha256(entry).digest()] = entry
    links = {digest: link for digest, entry in found.items() if (link := _link(entry, maker_id))}
    if not links:
        return None
    entries = _walk_back(found, links)
    try:
        claimed, steps = read_chain(entries, _context())
    except (Rejected, Malformed) as error:
        raise Untrusted("bad-link", f"the chain of your links does not hold: {error}") from error
    if claimed != maker_id:
        raise Untrusted("wrong-maker", f"the chain of links is of maker {claimed.hex()}")
    return OwnChain(tuple(entries), steps)


def keep_link(maker: MakerHome, post: Post) -> Path:
    """Keep a link that no board takes any more. Returns its file."""
    record = decode_maker_record(post.statement.payload)
    folder = maker.path / "links"
    durable.make_dirs(folder)
    path = folder / f"{record.epoch:06d}.cose"
    durable.write_file(path, post.encode())
    return path


def _at_home(maker: MakerHome) -> list[bytes]:
    files = (*(maker.path / "sent").glob("*.cose"), *(maker.path / "links").glob("*.cose"))
    return [entry for path in files for entry in _with_earlier(path.read_bytes())]


def _on_board(board: Board, maker_id: bytes) -> list[bytes]:
    record = octets(str(board.json_object(f"/v1/makers/{maker_id.hex()}").get("record")))
    earlier = decode_maker_record(record).earlier_links
    return [*earlier, *board.links(f"/v1/makers/{maker_id.hex()}/links")]


def _with_earlier(entry: bytes) -> Iterator[bytes]:
    """An entry, and the links that it carries if it is a registration with a chain."""
    yield entry
    try:
        post = decode_post(entry)
        if post.statement.kind == "maker.register":
            yield from decode_maker_record(post.statement.payload).earlier_links
    except Malformed:
        return


def _link(entry: bytes, maker_id: bytes) -> MakerRecord | None:
    """The record of an entry that is a link of this maker's."""
    try:
        statement = decode_post(entry).statement
        if statement.kind not in _KINDS or statement.issuer != maker_id.hex():
            return None
        record = decode_maker_record(statement.payload)
    except Malformed:
        return None
    return None if record.earlier_links else record


def _walk_back(found: dict[bytes, bytes], links: dict[bytes, MakerRecord]) -> list[bytes]:
    digest, record = max(links.items(), key=lambda item: item[1].epoch)
    entries = [found[digest]]
    while record.previous is not None:
        digest = record.previous
        if digest not in links:
            raise NotFound(
                f"your link of epoch {record.epoch - 1} is neither here nor on a board that "
                "answers; put its .cose file into HOME/links, from a backup or an older board"
            )
        record = links[digest]
        entries.append(found[digest])
    return entries[::-1]


def _context() -> Context:
    return Context(
        board="",
        time=0,
        entry=b"",
        previous_map_root=b"",
        check_signature=verify_signature,
    )
