# SPDX-License-Identifier: Apache-2.0
"""An operator at work: the keys of a node's data folder, and its board over HTTP.

    DATA/keys/*.pem, *.next.pem   keys and their successors (fieldpost.engines.operator_keys)
    DATA/keys/retired/            former keys
    DATA/ceremonies/              posts that wait for other operators' signatures

governance.pem may lie elsewhere, since the node does not need it: then what it shall sign is
exported. Nothing needs to be stopped: the node looks the keys up when the board's record changes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import time
from typing import Any, Final, TypeVar

import click

from fieldpost import cbor, durable
from fieldpost.cli.board_access import Board
from fieldpost.cli.ceremony import Needed, request_of
from fieldpost.cli.options import find_pin_prompt
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.signing import Ceremonies, export_request, sign_here
from fieldpost.engines.board_files import keys_directory, log_directory
from fieldpost.engines.operator_keys import (
    COSIGNER,
    GOVERNANCE,
    LOG,
    POST_QUANTUM,
    find_keys,
    load_signer,
    next_path,
)
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.keys import PublicKey, Signer
from fieldpost.posts.envelope import Post, Statement
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Operator, decode_board_record
from fieldpost.records.counters import Link
from fieldpost.store.log_files import read_checkpoint
from fieldpost.store.log_recovery import bundles_behind
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.note import parse_note

F = TypeVar("F", bound=Callable[..., Any])
KEYS: Final = (GOVERNANCE, LOG, COSIGNER, POST_QUANTUM)


def desk_options(command: F) -> F:
    """`--data` and `--board`, for whoever runs a node."""
    command = click.option(
        "--board",
        "board_urls",
        multiple=True,
        required=True,
        envvar="FIELDPOST_BOARD",
        help="URL of a node of the board. Repeatable.",
    )(command)
    return click.option(
        "--data",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        required=True,
        help="Folder of the node's data; its keys are read, nothing else.",
    )(command)


class Desk:
    """One operator of a board. Raises Misconfigured for keys of no operator."""

    def __init__(self, data: Path, board_urls: tuple[str, ...], *, as_json: bool) -> None:
        self.keys = keys_directory(data)
        self._log = log_directory(data)
        self.board = Board(*board_urls)
        self.ceremonies = Ceremonies(data / "ceremonies")
        self.as_json = as_json
        self.proven = ProvenBoard(self.board, self.board.id, now=int(time()))
        self.record, self.link = self._read()
        self._settle()
        self.operator = self._operator()
        self.signers = self._governance()

    def _read(self) -> tuple[BoardRecord, Link]:
        value, link = self.proven.value(map_keys.board()), self.proven.link(map_keys.board())
        if value is None or link is None:
            raise NotFound("the board's record is not in its state; ask another node")
        return decode_board_record(value), link

    def _operator(self) -> Operator:
        try:
            return find_keys(self.keys, self.record)[1]
        except Misconfigured as error:
            names = ", ".join(operator.name for operator in self.record.operators)
            raise Misconfigured(
                f"the keys in {self.keys} are of none of the operators ({names}) of "
                f"{self.board.id}; name the data folder of that board's node ({error})"
            ) from error

    def _governance(self) -> tuple[Signer, ...]:
        """The operator's governance key, if it is here."""
        path = self.keys / f"{GOVERNANCE}.pem"
        if not path.exists():
            return ()
        signer = load_signer(path, find_pin_prompt())
        if signer.public_key != self.operator.governance_key:
            raise Misconfigured(
                f"{path} is not the governance key of {self.operator.name} on {self.board.id}; "
                "put back the one that is, or move the file away and sign elsewhere"
            )
        return (signer,)

    def _settle(self) -> None:
        """Go over to new keys that the board has taken."""
        named = {key for operator in self.record.operators for key in _keys_of(operator)}
        for name in KEYS:
            fresh, current = next_path(self.keys, name), self.keys / f"{name}.pem"
            if not fresh.exists() or load_signer(fresh).public_key not in named:
                continue
            retired = self.keys / "retired"
            durable.make_dirs(retired, mode=0o700)
            if current.exists():
                durable.publish(current, retired / f"{name}.until-{self.record.epoch}.pem")
            durable.publish(fresh, current)

    def settle_after(self) -> None:
        """Read the board again after a post, and go over to the key that it now has."""
        self.proven = ProvenBoard(self.board, self.board.id, now=int(time()))
        self.record, self.link = self._read()
        self._settle()

    def next_nonce(self) -> int:
        """The next nonce of this operator's key."""
        key = self.operator.governance_key
        value = self.board.value(map_keys.nonce_of_key(key.thumbprint()))
        counted = 0 if value is None else cbor.decode(value)
        return int(counted) + 1 if isinstance(counted, int) else 1

    def operators(self, count: int) -> Needed:
        """`count` of the operators' governance keys."""
        return Needed("operators", count, tuple(self.record.governance.values()))

    def post(
        self,
        kind: str,
        subject: str,
        payload: bytes,
        needed: Sequence[Needed],
        *,
        signers: Sequence[Signer] = (),
        export: Path | None,
        previous: bytes | None = None,
    ) -> dict[str, object]:
        """Sign and post in this operator's name, or export; what to tell the user.

        `signers`: beside the governance key, if that is here.
        """
        statement = Statement(
            kind=kind,
            issuer=self.operator.name,
            subject=subject,
            audience=self.board.id,
            payload=payload,
        )
        request = request_of(statement, needed, previous=previous)
        signatures = sign_here(request, [*self.signers, *signers])
        if export is not None:
            return export_request(
                self.ceremonies,
                request,
                signatures,
                export,
                as_json=self.as_json,
                then="operator import",
            )
        missing = request.lacks(signature.kid for signature in signatures)
        if missing:
            raise Misconfigured(
                f"this needs {'; '.join(missing)}: run it with --export-unsigned FILE, and let "
                "others sign FILE by `fieldpost operator sign FILE --data DATA`"
            )
        return self.send(request.assemble(signatures))

    def send(self, post: Post) -> dict[str, object]:
        """Post, and verify the receipt; what to tell the user.

        The post that gives a board with one operator to others gets its receipt from them.
        """
        entry = post.encode()
        try:
            return {"index": self.board.submit(entry)[1].index}
        except Unavailable:
            if not self._gave_away(post):
                raise
            return {"index": None, "given_to": "the new operators, who publish it"}

    def _gave_away(self, post: Post) -> bool:
        """Whether this is the last entry of the log here, which its node may not publish."""
        if post.statement.kind != "board.set" or self.record.is_replicated:
            return False
        if not decode_board_record(post.statement.payload).is_replicated:
            return False
        note = read_checkpoint(self._log)
        size = parse_checkpoint(parse_note(note).text).size if note else 0
        last = [entry for bundle in bundles_behind(self._log, size) for entry in bundle]
        return post.encode() in last


def _keys_of(operator: Operator) -> tuple[PublicKey, ...]:
    cosigners = (key.public_key for key in operator.cosigner_keys)
    return (operator.governance_key, operator.log_key.public_key, *cosigners)
