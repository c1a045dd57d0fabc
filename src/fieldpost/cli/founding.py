# SPDX-License-Identifier: Apache-2.0
"""The last step of founding a board: genesis.json in place, and settings to begin with."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fieldpost import durable
from fieldpost.cli.ceremony import Needed, Request, Signed, request_of
from fieldpost.cli.operator_file import OperatorFile
from fieldpost.engines.cometbft.founding import found_board
from fieldpost.engines.cometbft.home import comet_home, write_genesis
from fieldpost.errors import Conflict
from fieldpost.node.config import COMETBFT
from fieldpost.posts.envelope import Statement
from fieldpost.records.board import BoardRecord

_SETTINGS = """\
# Settings of {name}, an operator of {origin}. All there are: docs/reference/config.md
data = {data}
engine = {engine}
listen = {listen}

[cometbft]
p2p_listen = {p2p_listen}
p2p_address = {p2p_address}
{more}peers = [
{peers}]
"""


def founding_request(record: BoardRecord) -> Request:
    """What every operator signs: the genesis post, the same for all of them."""
    statement = Statement(
        kind="genesis",
        issuer=record.operators[0].name,
        subject=record.origin,
        audience=record.origin,
        payload=record.encode(),
    )
    keys = tuple(operator.governance_key for operator in record.operators)
    return request_of(statement, [Needed("operators", len(keys), keys)])


def complete(
    data: Path, request: Request, signatures: Sequence[Signed], *, time: int
) -> dict[str, object]:
    """Put genesis.json in place; what to tell the user. Raises Misconfigured if another is."""
    genesis = found_board(request.assemble(signatures).encode(), time=time)
    content = genesis.encode()
    write_genesis(comet_home(data), content)
    return {
        "board": genesis.board,
        "genesis": str(comet_home(data) / "config" / "genesis.json"),
        "sha256": sha256(content).hexdigest(),
    }


def starter_settings(
    path: Path,
    data: Path,
    own: OperatorFile,
    files: Sequence[OperatorFile],
    *,
    listen: str = "127.0.0.1:8470",
    more: dict[str, object] | None = None,
) -> None:
    """Write settings that start this operator; a file that is there is kept.

    `more`: further settings of the table [cometbft].
    """
    address = own.peer.partition("@")[2]
    port = address.rpartition(":")[2]
    further = {"p2p_listen": f"0.0.0.0:{port}"} | (more or {})
    values = {
        "name": own.operator.name,
        "origin": own.origin,
        "data": json.dumps(str(data.absolute())),
        "engine": json.dumps(COMETBFT),
        "listen": json.dumps([listen]),
        "p2p_listen": json.dumps(further.pop("p2p_listen")),
        "p2p_address": json.dumps(address),
        "more": "".join(f"{key} = {json.dumps(value)}\n" for key, value in further.items()),
        "peers": "".join(f"  {json.dumps(file.peer)},\n" for file in files if file != own),
    }
    try:
        durable.create_file(path, _SETTINGS.format(**values).encode())
    except Conflict:
        return
