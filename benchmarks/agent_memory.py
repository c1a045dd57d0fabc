# SPDX-License-Identifier: Apache-2.0
"""How much memory a device's agent takes at its peak, while it installs an image of 40 MB.

    python -m benchmarks.agent_memory

The agent is a process of the command line, and executes itself to boot the new image; Linux tells
the largest resident set of each of its lives. The board is written by hand, in this process.
"""

import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from random import Random

import zstandard

from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.records import map_keys
from fieldpost.records.device_class import Encoding
from fieldpost.records.release import Artifact, ReleaseRecord
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode

_BYTES = 40 * 1024 * 1024
_BLOCK = 4_096
# Writes VmHWM to the file PEAKS whenever this program ends or executes another.
_AGENT = """
import os, sys
def tell(life):
    lines = open("/proc/self/status").read().splitlines()
    peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    open(os.environ["PEAKS"], "a").write(f"{life} {peak}\\n")
execute = os.execv
def execute_told(path, arguments):
    tell("installs")
    execute(path, [path, "-c", os.environ["AGENT"], *arguments[3:]])
os.execv = execute_told
sys.argv[0] = "fieldpost"
from fieldpost.cli.main import main
try:
    main()
finally:
    tell("confirms")
"""


def image() -> bytes:
    """Half of it packs well, half not at all; the same on every machine."""
    random = Random(1)
    known = [random.randbytes(_BLOCK) for _ in range(1_000)]
    return b"".join(
        random.choice(known) if random.random() < 0.5 else random.randbytes(_BLOCK)
        for _ in range(_BYTES // _BLOCK)
    )


def publish(node: PaperNode, data: bytes, window_log: int | None) -> None:
    """Release 1, packed with a window of 2^window_log bytes, or plain alone."""
    node.publish(1, data)
    plain = sha256(data).digest()
    artifacts = [
        Artifact(digest=plain, size=len(data), encoding=Encoding.IDENTITY, image=plain),
    ]
    if window_log is not None:
        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
        packed = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
        digest = sha256(packed).digest()
        node.blobs = {digest.hex(): packed}
        artifacts.append(
            Artifact(digest=digest, size=len(packed), encoding=Encoding.ZSTD, image=plain)
        )
    board = node.board
    (offer,) = board.head.offers
    record = ReleaseRecord(
        nonce=1,
        class_id=board.class_id,
        sequence=1,
        version="1.0",
        manifest=offer.manifest,
        envelope_bytes=len(node.manifests[offer.manifest.hex()]),
        artifacts=tuple(artifacts),
    )
    board.map = board.map.update({map_keys.release(board.class_id, 1): record.encode()})
    board.seal()


def peaks(data: bytes, window_log: int | None) -> str:
    """One update; what the agent's lives say."""
    with tempfile.TemporaryDirectory() as name, PaperNode(PaperBoard()) as node:
        folder = Path(name)
        publish(node, data, window_log)
        home = Home(folder / "device")
        enrol(home, provisioning=node.board.provisioning(), serial="SN1")
        home.config.write_text(f'urls = ["{node.url}"]\n')
        subprocess.run(
            [sys.executable, "-c", _AGENT, "agent", "once", "--home", str(home.root), "--json"],
            env=os.environ | {"PEAKS": str(folder / "peaks"), "AGENT": _AGENT},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        said = [line.split() for line in (folder / "peaks").read_text().splitlines()]
        return ", ".join(f"{life} with {int(kib) / 1024:.1f} MiB" for life, kib in said)


def main() -> None:
    """Print a line for each form of the image."""
    data = image()
    for window_log in (None, 22, 23):
        form = "plain" if window_log is None else f"zstd, window of {2**window_log >> 20} MiB"
        print(f"image of 40 MiB, {form:<24} {peaks(data, window_log)}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
