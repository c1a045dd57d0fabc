# SPDX-License-Identifier: Apache-2.0
"""A process that does nothing but verify signatures, beside an engine that is under load.

Python runs one thread at a time, and one that comes back from a signature check waits up to 5 ms
for its turn while others compute; so threads cannot verify while the ledger works, a process can.
It holds no secret, decides nothing and remembers nothing: checks in, a byte for each out.

    request    u32 number of checks, u32 bytes of the rest, then for each check
               i8 algorithm, u16 key bytes, u16 signature bytes, u32 message bytes, and those bytes
    answer     for each check 01 (valid) or 00

It begins by writing one byte, and ends with its input, that is with the engine's process.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from fieldpost.engines.quick_yes import Accepts, find_quick_yes
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature

READY: Final = b"+"
HEAD: Final = struct.Struct(">II")
_CHECK: Final = struct.Struct(">bHHI")

Check = tuple[PublicKey, bytes, bytes]
"""Key, message, signature."""


def encode_request(checks: Iterable[Check]) -> bytes:
    """A request with at least one check."""
    parts: list[bytes] = []
    for key, message, signature in checks:
        parts += (
            _CHECK.pack(key.algorithm, len(key.raw), len(signature), len(message)),
            key.raw,
            signature,
            message,
        )
    body = b"".join(parts)
    return HEAD.pack(len(parts) // 4, len(body)) + body


def is_valid(check: Check, quick_yes: Accepts | None = None) -> bool:
    """Whether `verify_signature` accepts it."""
    try:
        verify_signature(*check, quick_yes)
    except Untrusted:
        return False
    return True


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    quick_yes = find_quick_yes()
    answers.write(READY)
    answers.flush()
    while len(head := requests.read(HEAD.size)) == HEAD.size:
        _, size = HEAD.unpack(head)
        body = requests.read(size)
        if len(body) < size:
            return
        answers.write(bytes(_verdicts(body, quick_yes)))
        answers.flush()


def _verdicts(body: bytes, quick_yes: Accepts | None) -> Iterator[bool]:
    at = 0
    while at < len(body):
        algorithm, key_bytes, signature_bytes, message_bytes = _CHECK.unpack_from(body, at)
        at += _CHECK.size
        key, at = body[at : at + key_bytes], at + key_bytes
        signature, at = body[at : at + signature_bytes], at + signature_bytes
        message, at = body[at : at + message_bytes], at + message_bytes
        try:
            check = PublicKey(Algorithm(algorithm), key), message, signature
            yield is_valid(check, quick_yes)
        except Malformed:
            yield False


if __name__ == "__main__":
    # Ctrl-C is for the engine, which ends this process when it has no more to ask.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The engine was killed before it had read an answer; Python would tell of what is left of
        # it on the way out.
        os._exit(0)
