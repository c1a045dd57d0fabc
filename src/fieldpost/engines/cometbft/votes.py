# SPDX-License-Identifier: Apache-2.0
"""What a validator key voted for last, where nobody knows it any more: a bound that is safe.

CometBFT votes for no height below the one in priv_validator_state.json. A key whose machine is
gone has voted for the height after the others' last block at most, since further on there is
nothing to vote for. Whoever begins one height later votes twice for nothing. An older copy of the
file would not do: a node that comes back may vote while it still catches up.
"""

import json
from pathlib import Path
from typing import Any

from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.engines.cometbft.home import key_path, signed_path
from fieldpost.errors import Misconfigured


def vote_only_above(home: Path, height: int, *, disk: Disk = OS) -> int:
    """Let the key here vote from height + 2 on; the first height that it may vote for.

    `height` is the last block of the others, asked after this key's last process ended for good.
    What the file says already is never lowered. Raises Misconfigured where no key is.
    """
    if not key_path(home).is_file():
        raise Misconfigured(f"there is no validator key in {home}: put back your copy first")
    first = height + 2
    before = _voted(signed_path(home))
    if before is not None and before >= first:
        return before
    make_dirs(signed_path(home).parent, mode=0o700, disk=disk)
    document = {"height": str(first), "round": 0, "step": 0}
    write_file(signed_path(home), json.dumps(document).encode() + b"\n", mode=0o600, disk=disk)
    return first


def _voted(path: Path) -> int | None:
    if not path.exists():
        return None
    try:
        document: Any = json.loads(path.read_bytes())
        return int(document["height"])
    except (ValueError, TypeError, LookupError):
        return None  # damaged: as good as lost
