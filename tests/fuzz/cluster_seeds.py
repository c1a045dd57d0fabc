# SPDX-License-Identifier: Apache-2.0
"""What operators of a cluster send each other beside posts and notes, to begin changing from."""

from typing import Any, Final

from fieldpost import cbor
from fieldpost.engines.cometbft.light import Question
from fieldpost.engines.cometbft.snapshots import Metadata
from fieldpost.engines.cometbft.transactions import encode_bundle

FAMILIES: Final[dict[str, Any]] = {
    "app state": lambda: [b'{"board": "b.test/1#00", "size": 2, "root": "%s"}' % (b"07" * 32)],
    "transaction": lambda: [encode_bundle([b"a post", b"another post"])],
    "light question": lambda: [Question(1, "validators", (("height", 5), ("page", 1))).encode()],
    "snapshot metadata": lambda: [
        Metadata("b.test/1#00", 9, b"leaf", (bytes(32),) * 2, (b"\x01" * 32,) * 3).encode()
    ],
    "snapshot chunk": lambda: [cbor.encode([b"key", b"value", b"key 2", b"value 2"])],
}
