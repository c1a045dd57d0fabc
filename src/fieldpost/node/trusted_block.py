# SPDX-License-Identifier: Apache-2.0
"""The block that a node believes which begins with a snapshot: one that several operators name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft.light import MOST_ANSWER_BYTES, Question
from fieldpost.errors import Misbehaviour, Unavailable
from fieldpost.node.api.light import JSON, PATH

_SILENCE_S: Final = 10.0
_TOTAL_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class TrustedBlock:
    """A block's height and hash (hex, as CometBFT writes it)."""

    height: int
    hash: str


def agree_on_block(urls: Sequence[str]) -> TrustedBlock:
    """The newest block that every one of these nodes has, if all name the same one.

    Raises Misbehaviour where they do not, Unavailable where one does not answer.
    """
    height = min(_ask(url, None).height for url in urls)
    found = {url: _ask(url, height) for url in urls}
    if len(set(found.values())) != 1:
        said = ", ".join(f"{url}: {block.hash}" for url, block in found.items())
        raise Misbehaviour(
            "split-view", f"operators name different blocks of height {height} ({said})", ()
        )
    return next(iter(found.values()))


def _ask(url: str, height: int | None) -> TrustedBlock:
    numbers = () if height is None else (("height", height),)
    with HttpClient(url, timeout_s=_SILENCE_S, total_s=_TOTAL_S) as http:
        answer = http.send(
            "POST",
            PATH,
            Question(1, "commit", numbers).encode(),
            content_type=JSON,
            accept=JSON,
            most_bytes=MOST_ANSWER_BYTES,
        )
    try:
        document: Any = json.loads(answer.body)
        commit = document["result"]["signed_header"]["commit"]
        block, found = commit["block_id"]["hash"], int(commit["height"])
        if len(bytes.fromhex(block)) != 32 or found < 1 or height not in (None, found):
            raise ValueError("another block than was asked for")
        return TrustedBlock(found, block)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Unavailable(f"{url} names no block: {error}", 5) from error
