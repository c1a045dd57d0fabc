# SPDX-License-Identifier: Apache-2.0
"""Sending a blob to the board's node with a permit by a release key of the maker."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fieldpost.cli.board_access import Board
from fieldpost.cli.maker_home import MakerHome
from fieldpost.client.publisher import is_stored, upload_blob
from fieldpost.errors import Misconfigured
from fieldpost.posts.permit import Permit, sign_permit
from fieldpost.records.maker import Role

_PERMIT_S: Final = 86_400
"""A day: time enough for a large image on a slow line, and a stolen permit is soon worthless."""


def send_blob(
    maker: MakerHome,
    board: Board,
    path: Path,
    *,
    digest: bytes,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Send the file that a posted release names, unless the node has it already.

    Raises as `upload_blob`, and Misconfigured where no release key is here.
    """
    size = path.stat().st_size
    if is_stored(board.http, digest):
        progress(size)
        return
    signer = next(maker.present(Role.RELEASE), None)
    if signer is None:
        raise Misconfigured(
            "sending bytes to the node needs a release key here, to sign a permit for them; bring "
            "one back, or run the same command where one is"
        )
    permit = sign_permit(
        Permit(digest=digest, size=size, not_after=int(time.time()) + _PERMIT_S),
        maker=bytes.fromhex(maker.settings().maker),
        board=board.id,
        signer=signer,
    )
    upload_blob(board.http, path, digest=digest, permit=permit, progress=progress)
