# SPDX-License-Identifier: Apache-2.0
"""Posts that may need more keys than are on this machine.

    HOME/ceremonies/<name>.unsigned      what is to be signed, until enough keys have
    HOME/ceremonies/<name>.signatures    what was signed so far, here and elsewhere
    HOME/ceremonies/done/…               both, once the board has the post

With `--export-unsigned FILE` a command signs with what is here and writes the file for the others;
`fieldpost maker sign FILE --out SIGS` signs it there, offline; `fieldpost maker import SIGS` brings
the signatures back and posts as soon as they suffice.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fieldpost import durable
from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import publish
from fieldpost.cli.ceremony import (
    Needed,
    Request,
    Signed,
    decode_request,
    decode_signatures,
    encode_signatures,
    request_of,
)
from fieldpost.cli.console import note
from fieldpost.cli.maker_home import MakerHome
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.keys import Signer
from fieldpost.posts.envelope import Post, Statement
from fieldpost.records.maker import MakerRecord, Role

F = TypeVar("F", bound=Callable[..., Any])
PROVISIONING: Final = "provisioning"
"""The kind of a statement that is signed like a post, and given to devices."""


def export_option(command: F) -> F:
    """`--export-unsigned FILE`, for posts that keys on other machines must sign."""
    return click.option(
        "--export-unsigned",
        "export",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Sign with the keys that are here, and write FILE for those on other machines.",
    )(command)


class Ceremonies:
    """Requests that wait for signatures, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, request: Request, signatures: Iterable[Signed]) -> None:
        """Keep a request with what is signed of it already."""
        durable.make_dirs(self._folder)
        name = _name(request.digest)
        data = encode_signatures(request.digest, signatures)
        durable.write_file(self._folder / f"{name}.signatures", data)
        durable.write_file(self._folder / f"{name}.unsigned", request.encode())

    def join(self, request: Request, signatures: Iterable[Signed]) -> tuple[Signed, ...]:
        """Like `open`, beside what is kept of the same request already; all its signatures."""
        path = self._folder / f"{_name(request.digest)}.signatures"
        held = decode_signatures(path.read_bytes())[1] if path.exists() else ()
        known = {one.kid: one for one in (*held, *signatures)}
        self.open(request, known.values())
        return tuple(known.values())

    def find(self, digest: bytes) -> Request:
        """The request with this digest. Raises NotFound with what to do."""
        path = self._folder / f"{_name(digest)}.unsigned"
        if not path.exists():
            if (done := self._folder / "done" / path.name).exists():
                raise NotFound(f"no more signatures are needed: what they are for is done ({done})")
            raise NotFound(
                f"nothing here waits for these signatures ({path} is absent); import them on the "
                "machine that ran the command with --export-unsigned"
            )
        return decode_request(path.read_bytes())

    def add(self, data: bytes) -> tuple[Request, tuple[Signed, ...]]:
        """Take the signatures of a file; the request, and all its signatures by now.

        Raises NotFound, Malformed, Untrusted for a signature that is no good one.
        """
        digest, fresh = decode_signatures(data)
        request = self.find(digest)
        path = self._folder / f"{_name(digest)}.signatures"
        _, held = decode_signatures(path.read_bytes())
        known = {signature.kid: signature for signature in held}
        known |= {signature.kid: request.verify(signature) for signature in fresh}
        durable.write_file(path, encode_signatures(digest, known.values()))
        return request, tuple(known.values())

    def close(self, digest: bytes) -> None:
        """The board has the post: keep the files apart."""
        done = self._folder / "done"
        durable.make_dirs(done)
        # The other way round than `open`: where a request waits, its signatures are.
        for suffix in ("unsigned", "signatures"):
            path = self._folder / f"{_name(digest)}.{suffix}"
            if path.exists():
                durable.publish(path, done / path.name)


def _name(digest: bytes) -> str:
    return digest[:8].hex()


def ceremonies_of(maker: MakerHome) -> Ceremonies:
    """The maker's ceremonies."""
    return Ceremonies(maker.path / "ceremonies")


def needed_of(record: MakerRecord, role: Role, words: str = "") -> Needed:
    """The threshold of a role."""
    keys = record.keys_of(role)
    named = words or f"{role.name.lower()} keys"
    return Needed(named, keys.threshold, tuple(entry.key for entry in keys.keys))


def sign_here(request: Request, signers: Iterable[Signer]) -> tuple[Signed, ...]:
    """Signatures by as few of `signers` as it takes."""
    signatures: list[Signed] = []
    kids: set[bytes] = set()
    for signer in signers:
        key = signer.public_key
        wanted = any(key in group.keys and not group.has_enough(kids) for group in request.needed)
        if wanted:
            signatures.append(request.sign(signer))
            kids.add(key.thumbprint())
    return tuple(signatures)


def export_request(
    ceremonies: Ceremonies,
    request: Request,
    signatures: Sequence[Signed],
    out: Path,
    *,
    as_json: bool,
    then: str = "maker import",
) -> dict[str, object]:
    """Keep and write the request; what to tell the user. `then`: the command that goes on."""
    ceremonies.open(request, signatures)
    durable.write_file(out, request.encode())
    missing = request.lacks(signature.kid for signature in signatures)
    # Makers and operators have a command each that signs with keys of their own.
    noun = then.partition(" ")[0]
    note(f"next, where the other keys are: fieldpost {noun} sign {out} --out SIGS", as_json=as_json)
    note(f"then here: fieldpost {then} SIGS", as_json=as_json)
    return {
        "unsigned": str(out),
        "request": request.digest.hex(),
        "signed_here": len(signatures),
        "still_needed": missing or ["nothing"],
    }


def conclude(
    maker: MakerHome,
    board: Board,
    statement: Statement,
    needed: Sequence[Needed],
    signers: Iterable[Signer],
    *,
    export: Path | None,
    as_json: bool,
    previous: bytes | None = None,
) -> dict[str, object]:
    """Sign and post, or export what is to be signed elsewhere; what to tell the user.

    Raises Misconfigured with the way out if too few keys are here.
    """
    request = request_of(statement, needed, previous=previous)
    return conclude_request(maker, board, request, signers, export=export, as_json=as_json)


def conclude_request(
    maker: MakerHome,
    board: Board,
    request: Request,
    signers: Iterable[Signer],
    *,
    export: Path | None,
    as_json: bool,
) -> dict[str, object]:
    """As `conclude`, for a request that was made already."""
    signatures = sign_here(request, signers)
    if export is not None:
        return export_request(ceremonies_of(maker), request, signatures, export, as_json=as_json)
    return post_facts(maker, board, complete(maker, request, signatures))


def check_complete(maker: MakerHome, request: Request, signatures: Sequence[Signed]) -> None:
    """Raises Misconfigured with the way out if too few keys are here."""
    missing = request.lacks(signature.kid for signature in signatures)
    if missing:
        raise Misconfigured(
            f"this needs {'; '.join(missing)}: bring the key files back to {maker.path}/keys, or "
            "run the command with --export-unsigned FILE and sign it where the keys are"
        )


def complete(maker: MakerHome, request: Request, signatures: Sequence[Signed]) -> Post:
    """The signed post. Raises Misconfigured with the way out if too few keys are here."""
    check_complete(maker, request, signatures)
    return request.assemble(signatures)


def post_facts(maker: MakerHome, board: Board, post: Post) -> dict[str, object]:
    """Send a post; index and receipt, for the user."""
    index, receipt = publish(maker, board, post)
    return {"index": index, "receipt": str(receipt)}
