# SPDX-License-Identifier: Apache-2.0
"""A hostile server between a device and its board: `python -m fieldpost.demo.attacker PLAN`.

It relays everything to the node, except what its plan is to lie about. The plan is a JSON file:

    {"attack": name, "node": URL, …what the attack needs…}

One JSON line says where it listens. It serves until it is stopped.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from fieldpost import cbor
from fieldpost.client.transport import HttpClient
from fieldpost.demo.forgery import Cosigning, Lie, Target, forge
from fieldpost.errors import FieldpostError, NotFound
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import load_key_file
from fieldpost.signers.passphrase import passphrase_source
from fieldpost.signers.software import SoftwareSigner

_MOST_BYTES: Final = 64 * 1024 * 1024

# path of a request, genuine answer or None -> answer; raises NotFound for 404
Lying = Callable[[str, Callable[[], bytes]], bytes]


def tampered_image(_plan: dict[str, Any]) -> Lying:
    """Every download has one bit turned."""

    def answer(path: str, genuine: Callable[[], bytes]) -> bytes:
        body = genuine()
        if not path.startswith("/v1/blobs/"):
            return body
        middle = len(body) // 2
        return body[:middle] + bytes((body[middle] ^ 1,)) + body[middle + 1 :]

    return answer


def replayed_checkin(plan: dict[str, Any]) -> Lying:
    """Every check-in is answered with a genuine bundle that was recorded earlier."""
    recorded = Path(plan["recorded"]).read_bytes()
    return lambda path, genuine: recorded if path.startswith("/v1/checkin/") else genuine()


def hidden_links(_plan: dict[str, Any]) -> Lying:
    """The maker's newest links are kept from the device; all else is genuine."""

    def answer(path: str, genuine: Callable[[], bytes]) -> bytes:
        if path.startswith("/v1/makers/") and "/links" in path:
            return cbor.encode([])
        return genuine()

    return answer


def own_board(plan: dict[str, Any]) -> Lying:
    """A release of the attacker's, signed with the stolen key, on a board of his own."""
    checkin = f"/v1/checkin/{plan['class']}/{plan['channel']}"
    with HttpClient(plan["node"]) as http:
        genuine_bundle = http.fetch(checkin)
    # Stolen with the key file; it travels in the environment, as the maker's own does.
    passphrase = passphrase_source(environment=os.environ)
    lie = forge(
        Target(
            origin=plan["origin"],
            maker=bytes.fromhex(plan["maker"]),
            class_id=bytes.fromhex(plan["class"]),
            channel=plan["channel"],
        ),
        image=Path(plan["image"]).read_bytes(),
        genuine=genuine_bundle,
        stolen=load_key_file(Path(plan["stolen_key"]), passphrase),
        own=SoftwareSigner.generate(Algorithm.ED25519),
        cosigning=Cosigning(plan["cosigning"]),
        now=int(time.time()),
    )
    return lambda path, genuine: _serve(lie, path, genuine)


def _serve(lie: Lie, path: str, genuine: Callable[[], bytes]) -> bytes:
    if path.startswith("/v1/checkin/"):
        return lie.bundle
    if path == f"/v1/manifests/{lie.manifest_digest.hex()}":
        return lie.envelope
    if path.startswith("/v1/proof/"):
        raise NotFound("the attacker's board has no proof of this")
    if path.startswith("/v1/blobs/"):
        return lie.image
    return genuine()


ATTACKS: Final[dict[str, Callable[[dict[str, Any]], Lying]]] = {
    "tampered-image": tampered_image,
    "replayed-checkin": replayed_checkin,
    "own-board": own_board,
    "hidden-links": hidden_links,
}

_TYPES: Final = (
    ("/v1/checkin/", "application/vnd.fieldpost.checkin+cbor"),
    ("/v1/proof/", "application/vnd.fieldpost.checkin+cbor"),
    ("/v1/manifests/", "application/suit-envelope+cose"),
    ("/v1/blobs/", "application/octet-stream"),
)


def serve(node: str, lying: Lying) -> ThreadingHTTPServer:
    """A server on a free loopback port; not yet running."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def _answer(self, body: bytes | None) -> None:
            status, answer = 200, b""
            try:
                answer = lying(self.path, lambda: self._relay(body))
            except NotFound:
                status = 404
            except FieldpostError as error:
                status, answer = 502, str(error).encode()
            self.send_response(status)
            kind = next((t for p, t in _TYPES if self.path.startswith(p)), "application/cbor")
            self.send_header("Content-Type", kind if status == 200 else "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _relay(self, body: bytes | None) -> bytes:
            kind = self.headers.get("Content-Type")
            with HttpClient(node) as http:
                answer = http.send(
                    self.command, self.path, body, content_type=kind, most_bytes=_MOST_BYTES
                )
            return answer.body

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Attackers keep no log."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    """Read the plan, say where we listen, serve."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    server = serve(plan["node"], ATTACKS[plan["attack"]](plan))
    host, port = server.server_address[:2]
    sys.stdout.write(json.dumps({"event": "ready", "url": f"http://{host!s}:{port}"}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
