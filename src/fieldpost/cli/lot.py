# SPDX-License-Identifier: Apache-2.0
"""`fieldpost lot`: enrol devices, a lot at a time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from fieldpost import cbor
from fieldpost.cli.acting import Acting, act
from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.console import json_option, note, progress, show
from fieldpost.cli.device_class import read_class, resolve_class
from fieldpost.cli.factory_csv import Table, load_table
from fieldpost.cli.hashed_serials import HashedSerials, hash_serials
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import HexId, board_option, home_options, open_home
from fieldpost.cli.signing import export_option, post_facts
from fieldpost.cli.stores import Stores
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misconfigured, NotFound, Untrusted
from fieldpost.identity.enrolment import MAX_REQUEST_BYTES, verify_request
from fieldpost.identity.leaf import DeviceLeaf, decode_leaf, scan_leaf
from fieldpost.identity.lot import LotTree
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.identifiers import lot_id
from fieldpost.records.limits import MAX_LOT_DEVICES
from fieldpost.records.lot import LotRecord
from fieldpost.records.maker import Role

# A service hashes and stores a million leaves before it answers.
_SILENCE_S: Final = 900.0
# To say after each device how far it is takes longer than to check it.
_AT_ONCE: Final = 1_000
# Below this, what comes next is over before it is read.
_MANY: Final = 10_000


@click.group(name="lot")
def command() -> None:
    r"""Enrol devices: a lot is a closed set, one small post for up to a million devices.

    \b
    fieldpost lot enrol bulb-a19:r2 --requests factory/requests
    """


@command.command()
@click.argument("class_name", metavar="CLASS")
@click.option(
    "--requests",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of *.enrol files that devices wrote, or one such file.",
)
@click.option(
    "--leaves",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A CBOR array of device leaves, from a factory's own tool.",
)
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A factory's table: columns serial, key (hex, base64 or PEM) and scrap.",
)
@click.option(
    "--hash-serials",
    "salts",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Put a salted hash for each serial; FILE keeps serials and salts, and is read again.",
)
@click.option(
    "--fleet", "fleet_url", help="URL of your own fleet service.  [default: the board's node]"
)
@export_option
@home_options
@json_option
def enrol(
    *,
    class_name: str,
    requests: Path | None,
    leaves: Path | None,
    table: Path | None,
    salts: Path | None,
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Enrol a lot of CLASS. Public become its size and a digest, no serial and no key.

    Requests prove that each device holds its key; leaves and tables are believed as they are. A lot
    never changes: the same devices again finish what was interrupted, others make another lot.

    Where the enrolment key lies on another machine, --export-unsigned writes what it signs; after
    `maker import` the same command again uploads the leaves.

    With --hash-serials not even the fleet service learns a serial. Keep FILE secret and safe: only
    by it a device's serial can be told, or shown to be its (`fieldpost device check --serials`).

    \b
    fieldpost lot enrol bulb-a19:r2 --requests factory/requests
    fieldpost lot enrol bulb-a19:r2 --csv march.csv --hash-serials serials.csv
    fieldpost lot enrol bulb-a19:r2 --leaves march.cbor --fleet https://fleet.lamps.example
    """
    if requests is None and leaves is None and table is None:
        raise Misconfigured("give --requests FOLDER, --csv FILE or --leaves FILE")
    acting = act(home, passphrase_file, as_json=as_json)
    board = acting.board
    class_ = resolve_class(acting.id, class_name)
    read_class(board, class_)
    listed = None if table is None else load_table(table, class_)
    serials = None if salts is None else HashedSerials.load(salts)
    gathered = gather(requests, leaves, class_, listed=listed, serials=serials, as_json=as_json)
    if serials is not None and salts is not None:
        serials.save(salts)
    with progress("hashing", len(gathered), as_json=as_json) as advance:
        tree = LotTree.build(gathered)
        advance(len(gathered))
    lot = lot_id(maker=acting.id, class_=class_, count=len(gathered), root=tree.root)
    facts: dict[str, object] = {
        "lot": lot.hex(),
        "class": class_.hex(),
        "devices": len(gathered),
        "root": tree.root.hex(),
    }
    if listed is not None:
        facts["scrapped"] = listed.scrapped
    posted: dict[str, object] = {"index": None, "receipt": None}
    if not _is_posted(board, lot):
        record = LotRecord(nonce=1, id=lot, class_id=class_, count=len(gathered), root=tree.root)
        posted = _post(acting, record, export)
        if export is not None:
            show(facts | posted, as_json=as_json, title="To be signed elsewhere")
            note("then this command again uploads the leaves", as_json=as_json)
            return
    if len(gathered) >= _MANY:
        note("uploading the leaves; the service hashes them too", as_json=as_json)
    data = cbor.encode(gathered)

    def send(client: HttpClient) -> None:
        path = f"/v1/lots/{lot.hex()}/leaves"
        client.send("PUT", path, data, content_type="application/cbor")

    if fleet_url is not None:
        Board(fleet_url, silence_s=_SILENCE_S).ask(send)
    else:
        # Devices find their proof, and report, at any operator.
        stores = Stores(board, silence_s=_SILENCE_S)
        stores.send("the leaves", send)
        stores.tell(as_json=as_json)
        facts["lacking"] = stores.lacking or None
    show(facts | posted, as_json=as_json, title="Lot enrolled")
    note(f"next: fieldpost release publish {class_name} IMAGE --version V", as_json=as_json)


def _post(acting: Acting, lot: LotRecord, export: Path | None) -> dict[str, object]:
    """Post a lot, whose nonce is set here, or export it; what to tell the user."""
    maker = acting.maker
    own = next(maker.present(Role.ENROL), None)
    known, _ = acting.record()
    if export is None and own is not None and next(acting.signers(known, Role.ENROL), None) is None:
        # A factory's key that the roots have not added, or have removed: the board says so.
        nonce = next_nonce(
            acting.board, maker=acting.id, role=Role.ENROL, key=own.public_key, threshold=1
        )
        statement = Statement(
            kind="lot.enrol",
            issuer=acting.id.hex(),
            subject=subjects.of_lot(lot.id),
            audience=acting.board.id,
            payload=replace(lot, nonce=nonce).encode(),
        )
        return post_facts(maker, acting.board, sign_post(statement, [own]))
    return acting.post_in_role(
        Role.ENROL,
        "lot.enrol",
        subjects.of_lot(lot.id),
        lambda nonce: replace(lot, nonce=nonce).encode(),
        export=export,
    )


def _is_posted(board: Board, lot: bytes) -> bool:
    try:
        board.json(f"/v1/lots/{lot.hex()}")
    except NotFound:
        return False
    return True


def gather(
    requests: Path | None,
    leaves: Path | None,
    class_: bytes,
    *,
    listed: Table | None = None,
    serials: HashedSerials | None = None,
    as_json: bool,
) -> list[bytes]:
    """The encoded leaves of a lot, sorted, each judged; serials hashed if `serials` is to know.

    Raises Malformed, Untrusted, Misconfigured.
    """
    gathered: list[bytes] = []
    if leaves is not None:
        gathered += _read_leaves(leaves)
    if listed is not None:
        gathered += (leaf.encode() for leaf in listed.leaves)
    if requests is not None:
        files = sorted(requests.glob("*.enrol")) if requests.is_dir() else [requests]
        with progress("checking requests", len(files), as_json=as_json) as advance:
            for leaf in _read_requests(files):
                gathered.append(leaf.encode())
                advance(1)
    if serials is not None:
        with progress("hashing serials", len(gathered), as_json=as_json) as advance:
            gathered = hash_serials(gathered, serials, advance)
    gathered.sort()
    if not 1 <= len(gathered) <= MAX_LOT_DEVICES:
        raise Malformed(
            f"{len(gathered)} devices; a lot holds 1…{MAX_LOT_DEVICES} (requests are files *.enrol)"
        )
    _check_devices(gathered, class_, as_json=as_json)
    return gathered


def _check_devices(gathered: list[bytes], class_: bytes, *, as_json: bool) -> None:
    devices: set[bytes] = set()
    with progress("checking devices", len(gathered), as_json=as_json) as advance:
        for start in range(0, len(gathered), _AT_ONCE):
            some = gathered[start : start + _AT_ONCE]
            for encoded in some:
                device, found = scan_leaf(encoded)
                if found != class_:
                    raise Malformed(
                        f"device {decode_leaf(encoded).serial!r} is of another class, "
                        f"{found.hex()}; nothing was enrolled"
                    )
                devices.add(device)
            advance(len(some))
    if len(devices) != len(gathered):
        raise Malformed("a device occurs twice, perhaps with two serials; nothing was enrolled")


def _read_leaves(path: Path) -> list[bytes]:
    try:
        return list(cbor.decode_byte_strings(path.read_bytes(), most=MAX_LOT_DEVICES))
    except Malformed as error:
        raise Malformed(f"{path} must hold a CBOR array of device leaves: {error}") from error


def _read_requests(files: list[Path]) -> Iterator[DeviceLeaf]:
    for path in files:
        if path.stat().st_size > MAX_REQUEST_BYTES:
            raise Malformed(f"{path} is too large for an enrolment request")
        try:
            yield verify_request(path.read_bytes())
        except Malformed as error:
            raise Malformed(f"{path}: {error}; nothing was enrolled") from error
        except Untrusted as error:
            words = f"{path}: {error.detail}; ask that device for its request again"
            raise Untrusted(error.reason, words) from error


@command.command(name="show")
@click.argument("lot", type=HexId(16))
@board_option
@home_options
@json_option
def show_lot(
    *,
    lot: bytes,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Show a lot as the board has it: size, digest, and whether its leaves are there.

    \b
    fieldpost lot show 58f0bc4d1f9a0e6c2d7b3a4958f0bc4d
    """
    maker = open_home(home, passphrase_file)
    board = Board(*board_urls) if board_urls else bound_board(maker, as_json=as_json)
    show(board.json_object(f"/v1/lots/{lot.hex()}"), as_json=as_json, title="Lot")
