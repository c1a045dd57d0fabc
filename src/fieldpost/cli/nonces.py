# SPDX-License-Identifier: Apache-2.0
"""The next nonce of a role: counted per key, or per role where several keys must sign."""

from fieldpost import cbor
from fieldpost.cli.board_access import Board
from fieldpost.errors import Malformed
from fieldpost.keys import PublicKey
from fieldpost.records import map_keys
from fieldpost.records.maker import Role


def next_nonce(board: Board, *, maker: bytes, role: Role, key: PublicKey, threshold: int) -> int:
    """One more than the board has counted. A node that lies makes the post be refused, no more."""
    if threshold > 1:
        value = board.value(map_keys.nonce_of_role(maker, role))
    else:
        value = board.value(map_keys.nonce_of_key(key.thumbprint()))
    counted = 0 if value is None else cbor.decode(value)
    if type(counted) is not int:
        raise Malformed("the board's node answered a nonce that is no number")
    return counted + 1
