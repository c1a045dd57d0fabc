# SPDX-License-Identifier: Apache-2.0
"""TXT records by the resolver of this machine (RFC 1035), over UDP and, if cut off, TCP.

What comes back is the resolver's word: run an operator's checks where it validates DNSSEC.
"""

import secrets
import socket
import struct
from pathlib import Path
from typing import Final

from fieldpost.errors import Malformed, NotFound, Unavailable

_TXT: Final = 16
_IN: Final = 1
_WAIT_S: Final = 5.0
_RESOLV: Final = Path("/etc/resolv.conf")


def look_up_txt(name: str) -> list[str]:
    """All TXT records of a name. Raises NotFound, Unavailable."""
    question = encode_question(name, secrets.randbelow(65_536))
    failure: Exception | None = None
    for server in _servers():
        try:
            answer = _ask_udp(server, question)
            if answer[2] & 2:
                answer = _ask_tcp(server, question)
            return parse_answer(answer, question)
        except (OSError, Malformed) as error:
            failure = error
    raise Unavailable(f"no resolver answered about {name}: {failure}")


def _servers() -> list[str]:
    try:
        lines = _RESOLV.read_text().splitlines()
    except OSError as error:
        raise Unavailable(f"{_RESOLV} cannot be read: {error.strerror}") from error
    words = [line.split() for line in lines]
    return [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]


def _ask_udp(server: str, question: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(_WAIT_S)
        udp.connect((server, 53))
        udp.send(question)
        return udp.recv(4096)


def _ask_tcp(server: str, question: bytes) -> bytes:
    with socket.create_connection((server, 53), _WAIT_S) as tcp, tcp.makefile("rwb") as stream:
        stream.write(struct.pack("!H", len(question)) + question)
        stream.flush()
        (length,) = struct.unpack("!H", stream.read(2).rjust(2, b"\0"))
        return stream.read(length)


def encode_question(name: str, number: int) -> bytes:
    """A query for TXT records of a name, with recursion."""
    labels = name.encode("ascii").split(b".")
    if not all(1 <= len(label) <= 63 for label in labels):
        raise Malformed(f"{name!r} is no name of DNS")
    place = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + place + struct.pack("!2H", _TXT, _IN)


def parse_answer(answer: bytes, question: bytes) -> list[str]:
    """The texts in an answer to `question`. Raises NotFound, Malformed for another answer."""
    try:
        number, flags, asked, count, _, _ = struct.unpack_from("!6H", answer)
        end = len(question)
        # Servers may change the letters' case; nothing else of the question.
        same = answer[12:end].lower() == question[12:].lower()
        if question[:2] != answer[:2] or not flags & 0x8000 or asked != 1 or not same:
            raise Malformed(f"an answer to something else ({number})")
        if flags & 15 == 3:
            raise NotFound("there is no such name")
        if flags & 15:
            raise Malformed(f"the resolver failed with code {flags & 15}")
        texts = []
        for _ in range(count):
            end = _skip_name(answer, end)
            kind, _, _, length = struct.unpack_from("!2HIH", answer, end)
            data = answer[end + 10 : end + 10 + length]
            end += 10 + length
            if kind == _TXT:
                texts.append(_join(data))
    except (struct.error, IndexError) as error:
        raise Malformed("an answer that ends early") from error
    if not texts:
        raise NotFound("there is no TXT record")
    return texts


def _skip_name(answer: bytes, at: int) -> int:
    while answer[at]:
        if answer[at] >= 0xC0:
            return at + 2
        at += 1 + answer[at]
    return at + 1


def _join(data: bytes) -> str:
    parts, at = [], 0
    while at < len(data):
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts).decode("ascii", "replace")
