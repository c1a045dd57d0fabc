# SPDX-License-Identifier: Apache-2.0
"""What a light client needs of the chain: headers with their votes, validators, parameters.

CometBFT's RPC stays on loopback, where it knows no callers and may do anything. A node that begins
with a snapshot needs three of its questions answered by two other operators (CometBFT asks them
itself), so their nodes pass on just these, written anew from what was understood: nothing of a
stranger's request reaches the RPC, and no answer costs more than a read of one block's votes.
"""

import json
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from fieldpost.engines.cometbft.rpc import parse_loopback
from fieldpost.errors import Malformed, Unavailable

MOST_QUESTION_BYTES: Final = 1_024
MOST_ANSWER_BYTES: Final = 1024 * 1024
_MOST_NUMBER: Final = 2**63 - 1
_ANSWER_S: Final = 5.0
_RETRY_S: Final = 2
_QUESTIONS: Final = {
    "commit": ("height",),
    "validators": ("height", "page", "per_page"),
    "consensus_params": ("height",),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a light client, understood. `numbers` are its parameters."""

    id: int
    method: str
    numbers: tuple[tuple[str, int], ...]

    def encode(self) -> bytes:
        """JSON-RPC 2.0, as CometBFT takes it: numbers are texts."""
        params = {name: str(number) for name, number in self.numbers}
        request = {"jsonrpc": "2.0", "id": self.id, "method": self.method, "params": params}
        return json.dumps(request).encode()


def decode_question(data: bytes) -> Question:
    """Read a JSON-RPC request. Raises Malformed for all but a light client's questions."""
    if len(data) > MOST_QUESTION_BYTES:
        raise Malformed(f"a question of {len(data)} bytes")
    try:
        document: Any = json.loads(data)
        params = document.get("params") or {}
        names = _QUESTIONS[document["method"]]
        if not set(params) <= set(names) or type(document["id"]) is not int:
            raise ValueError("other parameters than a light client has")
        numbers = tuple((name, _number(params[name])) for name in names if name in params)
        return Question(_number(document["id"]), document["method"], numbers)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Malformed(
            f"this is no question of a light client ({error}); it may ask for "
            f"{', '.join(_QUESTIONS)}"
        ) from error


def _number(value: Any) -> int:
    if type(value) is str and 0 < len(value) <= 19 and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 0 <= value <= _MOST_NUMBER:
        raise ValueError("a number is out of range")
    return int(value)


class LightData:
    """Answers from this node's own CometBFT. Safe from any thread; one question at a time."""

    def __init__(self, rpc_address: str) -> None:
        host, port = parse_loopback(rpc_address)
        self._lock = threading.Lock()
        self._connection = HTTPConnection(host, port, timeout=_ANSWER_S)

    def answer(self, question: bytes) -> bytes:
        """CometBFT's JSON. Raises Malformed, and Unavailable while it does not answer."""
        body = decode_question(question).encode()
        with self._lock:
            try:
                return self._exchange(body)
            except (HTTPException, OSError, ValueError) as error:
                self._connection.close()
                raise Unavailable(f"CometBFT does not answer: {error}", _RETRY_S) from error

    def _exchange(self, body: bytes) -> bytes:
        # A kept connection may have been closed in between, so each question has its own.
        self._connection.close()
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        text = self._connection.getresponse().read(MOST_ANSWER_BYTES + 1)
        if len(text) > MOST_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {MOST_ANSWER_BYTES} bytes")
        return text
