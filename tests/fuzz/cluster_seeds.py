# SPDX-License-Identifier: Apache-2.0
"""What operators of a cluster send each other beside posts and notes, to begin changing from."""

from typing import Any, Final

from fieldpost import cbor
from fieldpost.engines.cometbft.light import Question
from fieldpost.engines.cometbft.snapshots import Metadata

FAMILIES: Final[dict[str, Any]] = {
    "light question": lambda: [Question(1, "validators", (("height", 5), ("page", 1))).encode()],
    "snapshot metadata": lambda: [
        Metadata("b.test/1#00", 9, b"leaf", (bytes(32),) * 2, (b"\x01" * 32,) * 3).encode()
    ],
    "snapshot chunk": lambda: [cbor.encode([b"key", b"value", b"key 2", b"value 2"])],
}
