# SPDX-License-Identifier: Apache-2.0
"""The next link of a maker: on the board that its policy names, or for one that is gone."""

from pathlib import Path

from fieldpost.cli.acting import act
from fieldpost.cli.board_access import Board
from fieldpost.cli.ceremony import request_of
from fieldpost.cli.options import open_home
from fieldpost.cli.own_chain import OwnChain, gather_chain, keep_link
from fieldpost.cli.signing import (
    ceremonies_of,
    complete,
    export_request,
    needed_of,
    sign_here,
)
from fieldpost.errors import NotFound
from fieldpost.keys import SIGNATURE_BYTES
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.counters import Link
from fieldpost.records.maker import MakerRecord, Role


class LinkHere:
    """A link that goes to the board which the policy names."""

    def __init__(self, home: Path | None, passphrase_file: Path | None, *, as_json: bool) -> None:
        self._acting = act(home, passphrase_file, as_json=as_json)
        self.maker_id = self._acting.id

    def check_fits_after(self, before: MakerRecord, record: MakerRecord) -> None:
        """Raises Misconfigured if the chain with this link is too long for the board it names."""
        chain = gather_chain(self._acting.maker, [self._acting.board], as_json=True)
        if chain is not None:
            _check_fits(chain, self.maker_id, before, record)

    def before(self) -> tuple[MakerRecord, Link]:
        """The record that is replaced, proven by the board."""
        return self._acting.record_to_replace()

    def post(
        self, before: MakerRecord, record: MakerRecord, link: Link, export: Path | None
    ) -> dict[str, object]:
        """Sign and post it, or export it."""
        acting = self._acting
        return acting.post(
            _statement(acting.id, acting.board.id, record),
            [needed_of(before, Role.ROOT)],
            acting.signers(before, Role.ROOT),
            export=export,
            previous=acting.entry_of(f"/v1/makers/{acting.id.hex()}/links", link),
        )


class OrphanLink:
    """A link for a board that is gone: signed and kept, posted nowhere."""

    def __init__(self, home: Path | None, passphrase_file: Path | None, *, as_json: bool) -> None:
        self._maker = open_home(home, passphrase_file)
        self._as_json = as_json
        gone = self._maker.settings().board
        others = [
            Board(*urls) for id_, urls in self._maker.settings().boards.items() if id_ != gone
        ]
        self._chain = gather_chain(self._maker, others, as_json=as_json)
        self.maker_id = bytes.fromhex(self._maker.settings().maker)

    def check_fits_after(self, before: MakerRecord, record: MakerRecord) -> None:
        """Raises Misconfigured if the chain with this link is too long for the board it names."""
        assert self._chain is not None
        _check_fits(self._chain, self.maker_id, before, record)

    def before(self) -> tuple[MakerRecord, Link]:
        """The record that is replaced, by the maker's own chain of links."""
        if self._chain is None:
            raise NotFound(
                f"{self._maker.path} holds none of your links; put them into its folder links, "
                "from a backup or a mirror of the board"
            )
        return self._chain.record, self._chain.link

    def post(
        self, before: MakerRecord, record: MakerRecord, _link: Link, export: Path | None
    ) -> dict[str, object]:
        """Sign and keep it, or export it."""
        assert self._chain is not None
        request = request_of(
            _statement(self.maker_id, before.policy.board, record),
            [needed_of(before, Role.ROOT)],
            previous=self._chain.entries[-1],
        )
        known = before.root.by_kid()
        present = self._maker.present(Role.ROOT)
        signers = (signer for signer in present if signer.public_key.thumbprint() in known)
        signatures = sign_here(request, signers)
        if export is not None:
            return export_request(
                ceremonies_of(self._maker),
                request,
                signatures,
                export,
                as_json=self._as_json,
                then="maker import --board-is-gone",
            )
        kept = keep_link(self._maker, complete(self._maker, request, signatures))
        return {"index": None, "kept": str(kept)}


def _check_fits(chain: OwnChain, maker: bytes, before: MakerRecord, record: MakerRecord) -> None:
    # Kid and header of a signature are 64 bytes; the other claims of the link 400 at most.
    roots = sorted(SIGNATURE_BYTES[entry.key.algorithm] + 64 for entry in before.root.keys)
    link_bytes = len(record.encode()) + sum(roots[-before.root.threshold :]) + 400
    chain.check_fits(maker, record.policy.board, endorsed=True, more_bytes=link_bytes)


def _statement(maker: bytes, board: str, record: MakerRecord) -> Statement:
    return Statement(
        kind="maker.set",
        issuer=maker.hex(),
        subject=subjects.of_maker(maker),
        audience=board,
        payload=record.encode(),
    )
