# SPDX-License-Identifier: Apache-2.0
"""What a node would stumble over before it serves: folders, files and rights that settings name.

Nothing is made or changed, and no token is asked. Run it as the user that the node runs as.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldpost.engines.board_files import keys_directory
from fieldpost.errors import Misconfigured
from fieldpost.node.config import NodeConfig
from fieldpost.node.readiness import LEAST_FREE_BYTES
from fieldpost.node.tls import certificate_of

_KEYS: Final = "*.pem"


def look_around(config: NodeConfig) -> Iterator[str]:
    """Everything that is wrong, in words that name the setting, the file and what to do."""
    yield from _data(config.data)
    for path in sorted(keys_directory(config.data).glob(_KEYS)):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield f"data: others may read the key file {path}: run  chmod 600 {path}"
    try:
        certificate_of(config.tls)
    except Misconfigured as error:
        yield f"tls: {error}"


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
        yield f"data: {here} has {free // 2**20} MiB left, and posts need 64 MiB: make room"
