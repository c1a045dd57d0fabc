# SPDX-License-Identifier: Apache-2.0
"""A thousand devices that check in every second for a minute, on a node of its own.

The devices are connections of one other process:

    python -m benchmarks.crowd URL BOARD-ID CLASS-ID SECONDS

Each keeps its connection, asks at its own moment of the second, and judges by `verify_bundle` what
it got first and whatever differs from what it got before. Meanwhile the maker changes the channel
every ten seconds, so there is something new. A device whose answer is none, or is refused,
is an error and ends.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import node
from fieldpost.checkin.belief import Belief
from fieldpost.checkin.bundle import Bundle, decode_bundle
from fieldpost.checkin.verify import verify_bundle
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.records import map_keys
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.state_leaf import decode_state_leaf

_DEVICES = 1_000
_SECONDS = 60
_CHANGE_S = 10
_PATIENCE_S = 30


def results() -> Iterator[Result]:
    """A minute of it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = MakerCrowd(Path(name) / "data", makers=1)
        changes = iter(crowd.rollouts(_SECONDS // _CHANGE_S + 1))
        with node(crowd.data) as board, HttpClient(board.url) as http:
            arguments = [board.url, crowd.board, crowd.class_id.hex(), str(_SECONDS)]
            command = [sys.executable, "-m", "benchmarks.crowd", *arguments]
            before = board.cpu_s()
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                while process.poll() is None:
                    try:
                        process.wait(_CHANGE_S)
                    except subprocess.TimeoutExpired:
                        submit_post(http, next(changes)[1])
                assert process.stdout is not None
                said = json.loads(process.stdout.read())
            spent = board.cpu_s() - before
    what = f"{_DEVICES:,} devices every second for {_SECONDS} s: "
    yield Result(what=f"{what}errors", unit="", ours=said["errors"], bar=0, at_most=True)
    yield Result(what="  check-ins", unit="", ours=said["check_ins"])
    yield Result(what="  of them verified", unit="", ours=said["verified"])
    yield Result(what="  answer, median", unit="ms", ours=said["median_ms"])
    yield Result(what="  answer, 99 of 100", unit="ms", ours=said["p99_ms"])
    yield Result(
        what="  processor time of the node, each", unit="µs", ours=spent / said["check_ins"] * 1e6
    )


class _Crowd:
    """The devices of one process, and what they found."""

    def __init__(self, url: str, belief: Belief, class_id: bytes) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._path = f"/v1/checkin/{class_id.hex()}/stable"
        self._key = map_keys.head(class_id, "stable")
        self._belief = belief
        self.waits: list[float] = []
        self.verified = 0
        self.errors = 0

    async def live(self, number: int, seconds: int) -> None:
        """One device, for so many check-ins."""
        belief, last = self._belief, b""
        request = f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode()
        loop = asyncio.get_running_loop()
        first = loop.time() + number / _DEVICES
        await asyncio.sleep(number / _DEVICES)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        for turn in range(seconds):
            await asyncio.sleep(max(0.0, first + turn - loop.time()))
            began = time.perf_counter()
            writer.write(request)
            body = await asyncio.wait_for(_read_answer(reader), _PATIENCE_S)
            self.waits.append(time.perf_counter() - began)
            if body != last:
                now = int(time.time())
                belief = verify_bundle(belief, body, key=self._key, now=now).belief
                self.verified += 1
                last = body
        writer.close()

    async def run(self, seconds: int) -> None:
        """All of them; whoever fails is counted."""
        lives = (self.live(number, seconds) for number in range(_DEVICES))
        ends = await asyncio.gather(*lives, return_exceptions=True)
        failures = [end for end in ends if end is not None]
        self.errors = len(failures)
        for failure in failures[:3]:
            print(f"a device failed: {failure!r}", file=sys.stderr)


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"refused: {head[:40]!r}")
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    return await reader.readexactly(length)


def believe_node(url: str, board: str, class_id: bytes) -> Belief:
    """The belief that a factory would put into devices of this class, as the node has it now."""
    with HttpClient(url) as http:

        def ask(key: bytes) -> Bundle:
            path = f"/v1/proof/{key.hex()}"
            return decode_bundle(http.fetch(path), most_bytes=MAX_PROOF_BYTES)

        def value(key: bytes) -> bytes:
            found = ask(key).value
            assert found is not None
            return found

        maker = decode_class_record(value(map_keys.device_class(class_id))).maker
        return Belief(
            board=board,
            board_record=value(map_keys.board()),
            board_link=decode_state_leaf(ask(map_keys.board()).state_leaf).board_link,
            maker=maker,
            maker_record=value(map_keys.maker(maker)),
            maker_link=decode_head(value(map_keys.head(class_id, "stable"))).maker_link,
            size=0,
            root=None,
            timestamp=0,
            bundle=None,
        )


def main() -> None:
    """The other process."""
    url, board, class_hex, seconds = sys.argv[1:]
    class_id = bytes.fromhex(class_hex)
    crowd = _Crowd(url, believe_node(url, board, class_id), class_id)
    asyncio.run(crowd.run(int(seconds)))
    waits = sorted(crowd.waits)
    found = {
        "errors": crowd.errors,
        "check_ins": len(waits),
        "verified": crowd.verified,
        "median_ms": waits[len(waits) // 2] * 1e3,
        "p99_ms": waits[int(0.99 * len(waits))] * 1e3,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
