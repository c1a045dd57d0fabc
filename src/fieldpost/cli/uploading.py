# SPDX-License-Identifier: Apache-2.0
"""Sending blobs to the operators' stores with a permit by a release key of the maker."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.stores import Stores
from fieldpost.client.publisher import is_stored, upload_blob, upload_manifest
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Misconfigured
from fieldpost.posts.permit import Permit, sign_permit
from fieldpost.records.maker import Role
from fieldpost.suit.envelope import Envelope

_PERMIT_S: Final = 86_400
"""A day: time enough for a large image on a slow line, and a stolen permit is soon worthless."""


def send_envelope(stores: Stores, envelope: Envelope) -> None:
    """Send the envelope of a posted release. Raises as `Stores.send`."""
    data, digest = envelope.encode(), envelope.digest
    stores.send("the manifest", lambda client: upload_manifest(client, data, digest=digest))


def send_blob(
    maker: MakerHome,
    stores: Stores,
    path: Path,
    *,
    digest: bytes,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Send the file that a posted release names to every operator that has it not already.

    `progress` is told of its bytes once for each operator. Raises as `Stores.send`, and
    Misconfigured where no release key is here.
    """
    size = path.stat().st_size
    permit: bytes | None = None

    def send(client: HttpClient) -> None:
        nonlocal permit
        if is_stored(client, digest):
            progress(size)
            return
        if permit is None:
            permit = _sign(maker, stores.board.id, digest, size)
        upload_blob(client, path, digest=digest, permit=permit, progress=progress)

    stores.send(f"blob {digest.hex()[:16]}…", send)


def _sign(maker: MakerHome, board: str, digest: bytes, size: int) -> bytes:
    signer = next(maker.present(Role.RELEASE), None)
    if signer is None:
        raise Misconfigured(
            "sending bytes to the node needs a release key here, to sign a permit for them; bring "
            "one back, or run the same command where one is"
        )
    return sign_permit(
        Permit(digest=digest, size=size, not_after=int(time.time()) + _PERMIT_S),
        maker=bytes.fromhex(maker.settings().maker),
        board=board,
        signer=signer,
    )
