# SPDX-License-Identifier: Apache-2.0
"""What a node would stumble over before it serves: folders, files and rights that settings name.

Nothing is made or changed, and no token and no mirror is asked; a name in `listen` is looked up.
Run it as the user that the node runs as.
"""

import os
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.home import (
    comet_home,
    read_genesis,
    read_node_id,
    read_validator_key,
)
from fieldpost.engines.cometbft.program import check_program, find_program
from fieldpost.errors import Misconfigured
from fieldpost.node.config import COMETBFT, NodeConfig, parse_listen
from fieldpost.node.mirrors import open_mirror
from fieldpost.node.readiness import LEAST_FREE_BYTES
from fieldpost.node.tls import certificate_of
from fieldpost.node.witnesses import load_addresses


def look_around(config: NodeConfig) -> Iterator[str]:
    """Everything that is wrong, in words that name the setting, the file and what to do."""
    yield from _data(config.data)
    home = comet_home(config.data)
    if config.engine == COMETBFT:
        yield from _cometbft(config, home)
    secrets = (*keys_directory(config.data).glob("*.pem"), *home.glob("config/*_key.json"))
    for path in sorted(secrets):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield f"data: others may read the key file {path}: run  chmod 600 {path}"
    try:
        certificate_of(config.tls)
    except Misconfigured as error:
        yield f"tls: {error}"
    try:
        load_addresses(config.witness_policy)
    except Misconfigured as error:
        yield f"witness_policy: {error}"
    yield from _mirrors(config.mirrors)
    yield from _addresses("listen", config.listen)
    if config.metrics_listen is not None:
        yield from _addresses("metrics_listen", (config.metrics_listen,))


def _mirrors(mirrors: Sequence[str]) -> Iterator[str]:
    for text in mirrors:
        try:
            open_mirror(text)
        except Misconfigured as error:
            yield f"mirrors: {error}"
        if "://" not in text and not Path(text).is_dir():
            yield f"mirrors: there is no folder {text}; mount it, or name another copy"


def _addresses(setting: str, texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        host, port = parse_listen(text)
        try:
            socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)
        except OSError as error:
            yield f"{setting}: {host!r} is no address and no name of this machine: {error.strerror}"


def _cometbft(config: NodeConfig, home: Path) -> Iterator[str]:
    try:
        check_program(find_program(config.cometbft.program))
    except Misconfigured as error:
        yield f"cometbft.program: {error}"
    if read_genesis(home) is None:
        yield (
            f"data: {home}/config/genesis.json is missing: `fieldpost operator genesis` makes it, "
            "and who joins a board takes it from another operator"
        )
    try:
        read_validator_key(home)
        read_node_id(home)
    except Misconfigured as error:
        yield f"data: {error}"


def _data(data: Path) -> Iterator[str]:
    here = data
    while not here.exists():
        here = here.parent
    if not here.is_dir():
        yield f"data: {here} is no folder; name another"
    elif not os.access(here, os.W_OK | os.X_OK):
        what = "write to" if here == data else f"make {data} in"
        yield f"data: this user may not {what} {here}; change its owner, or run as the node's user"
    elif (free := shutil.disk_usage(here).free) < LEAST_FREE_BYTES:
        yield (
            f"data: {here} has {free // 2**20} MiB left, and a node is not ready below "
            f"{LEAST_FREE_BYTES // 2**20} MiB: make room"
        )
