# SPDX-License-Identifier: Apache-2.0
"""What is asked of one's own CometBFT, over one kept connection on loopback.

JSON-RPC 2.0 over HTTP, in batches of ten, which is the most that CometBFT takes. Everything that
comes back is limited in size and time. Sending the same transaction again is always safe.
"""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import Any, Final

from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Rejected, Unavailable
from fieldpost.records.limits import MAX_OPERATORS

MOST_CALLS: Final = 10
ANSWER_S: Final = 10.0
_MOST_ANSWER: Final = 4 * 1024 * 1024
_RETRY_S: Final = 1
# Ten transactions of the largest size fit into the 1,000,000 bytes that CometBFT takes at once.
_KNOWN: Final = "tx already exists in cache"
_TOO_LARGE: Final = "Tx too large"


@dataclass(frozen=True, slots=True, kw_only=True)
class CometStatus:
    """How far CometBFT is: last block, its time (whole Unix seconds), and its peers."""

    height: int
    time: int
    catching_up: bool
    peers: int


class CometRpc:
    """CometBFT's RPC at `address`, HOST:PORT on loopback. Safe from any thread; one at a time.

    Raises Misconfigured for an address that others can reach: the RPC knows no callers.
    """

    def __init__(self, address: str, *, answer_s: float = ANSWER_S) -> None:
        host, port = parse_loopback(address)
        self._address = address
        self._lock = threading.Lock()
        self._connection = HTTPConnection(host, port, timeout=answer_s)

    def broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        """Put transactions into the mempool; for each None, or why it is not there.

        None also where the mempool knows it already. Rejected is what the application's check
        said, with its code and codespace; Unavailable what may be tried again later.
        """
        results: list[FieldpostError | None] = []
        with self._lock:
            for start in range(0, len(txs), MOST_CALLS):
                results += self._broadcast(txs[start : start + MOST_CALLS])
        return results

    def status(self) -> CometStatus:
        """Where it is now. Raises Unavailable."""
        with self._lock:
            answers = self._ask([("status", {}), ("net_info", {})])
        try:
            sync, net = answers[0]["result"]["sync_info"], answers[1]["result"]
            return CometStatus(
                height=int(sync["latest_block_height"]),
                time=_seconds(sync["latest_block_time"]),
                catching_up=bool(sync["catching_up"]),
                peers=int(net["n_peers"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"{self._address} answers not as CometBFT does ({error})") from error

    def validators(self) -> tuple[int, frozenset[bytes]]:
        """Who votes on the next block, by public key, and its height. Raises Unavailable."""
        with self._lock:
            (answer,) = self._ask([("validators", {"per_page": str(MAX_OPERATORS)})])
        try:
            found = answer["result"]
            keys = {b64decode(one["pub_key"]["value"]) for one in found["validators"]}
            return int(found["block_height"]), frozenset(keys)
        except (KeyError, TypeError, ValueError) as error:
            raise Unavailable(f"{self._address} answers not as CometBFT does ({error})") from error

    def close(self) -> None:
        """Let go of the connection; the next question makes another."""
        with self._lock:
            self._connection.close()

    def _broadcast(self, txs: Sequence[bytes]) -> list[FieldpostError | None]:
        calls = [("broadcast_tx_sync", {"tx": b64encode(tx).decode()}) for tx in txs]
        try:
            return [_judge(answer) for answer in self._ask(calls)]
        except Unavailable as error:
            return [error] * len(txs)

    def _ask(self, calls: Sequence[tuple[str, dict[str, str]]]) -> list[dict[str, Any]]:
        """One batch; the answers in the order of the calls. Raises Unavailable."""
        body = json.dumps(
            [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
                for number, (method, params) in enumerate(calls)
            ]
        ).encode()
        fresh = self._connection.sock is None
        try:
            try:
                text = self._exchange(body)
            except (HTTPException, ConnectionError):
                # A kept connection may have been closed in between; asking twice does no harm.
                if fresh:
                    raise
                self._connection.close()
                text = self._exchange(body)
            return _in_order(text, len(calls))
        except (HTTPException, OSError, ValueError, RecursionError) as error:
            self._connection.close()
            why = str(error) or type(error).__name__
            raise Unavailable(f"CometBFT at {self._address}: {why}", _RETRY_S) from error

    def _exchange(self, body: bytes) -> bytes:
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        text = response.read(_MOST_ANSWER + 1)
        if len(text) > _MOST_ANSWER:
            raise ValueError(f"an answer of more than {_MOST_ANSWER} bytes")
        if response.status != 200:
            raise ValueError(f"HTTP status {response.status}")
        return text


def parse_loopback(address: str) -> tuple[str, int]:
    """HOST:PORT or [IPv6]:PORT, with an address of this machine alone. Raises Misconfigured."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        if ip_address(host).is_loopback and 0 < int(port) < 65_536:
            return host, int(port)
    except ValueError:
        pass
    raise Misconfigured(
        f"{address!r} is no address of this machine alone, as 127.0.0.1:26657: whoever reaches "
        "CometBFT's RPC may do with it what they like"
    )


def _in_order(text: bytes, count: int) -> list[dict[str, Any]]:
    found = json.loads(text)
    answers = found if isinstance(found, list) else [found]
    by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
    if set(by_id) != set(range(count)):
        raise ValueError("it answered not what it was asked")
    return [by_id[number] for number in range(count)]


def _judge(answer: dict[str, Any]) -> FieldpostError | None:
    error, result = answer.get("error"), answer.get("result")
    if isinstance(error, dict):
        said = str(error.get("data") or error.get("message"))[:500]
        if _KNOWN in said:
            return None
        if _TOO_LARGE in said:
            return Malformed(f"CometBFT takes no such transaction: {said}")
        # Full, catching up, stopping: all of it may be over in a moment.
        return Unavailable(f"CometBFT takes no posts now: {said}", _RETRY_S)
    if not isinstance(result, dict) or type(result.get("code")) is not int:
        return Unavailable("CometBFT answers not as it should", _RETRY_S)
    if result["code"] == 0:
        return None
    name = str(result.get("codespace") or "refused")[:100]
    return Rejected(result["code"], name, str(result.get("log", ""))[:500])


def _seconds(text: str) -> int:
    # Nanoseconds are more than `fromisoformat` takes, and blocks are timed in whole seconds.
    return int(datetime.fromisoformat(f"{text[:19]}+00:00").timestamp())
