# SPDX-License-Identifier: Apache-2.0
"""A process that verifies signatures and decodes payloads, beside an engine that is under load.

Python runs one thread at a time, and one that comes back from a signature check waits up to 5 ms
for its turn while others compute; so threads cannot verify while the ledger works, a process can.
It holds no secret, decides nothing and remembers nothing: questions in, answers out.

    request    u32 its number, u32 how many questions, u32 bytes of the rest; for each question
               i8 algorithm, u16 bytes of the key, u16 of the signature, u32 of the message,
               u8 of the kind, u16 of the payload; and key, signature, message and kind
    answer     u32 number of the request, u32 bytes of the rest, u32 CRC-32 of the rest; for each
               question 01 (valid) or 00; and, if any had a kind, the records (engines.carried)

A question that names a kind asks as well for the record that the last bytes of its message are,
the payload of such a post (ledger.payloads): none if it is no such record in its one form, or if
the signature is bad, so that nobody but a maker has a node keep records in memory.

It begins by writing one byte, and ends with its input, that is with the engine's process.
"""

import os
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple
from zlib import crc32

from fieldpost.engines.carried import carry, receive
from fieldpost.engines.quick_yes import Accepts, find_quick_yes
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature
from fieldpost.ledger.payloads import decode_ahead

READY: Final = b"+"
HEAD: Final = struct.Struct(">III")
_QUESTION: Final = struct.Struct(">bHHIBH")

Check = tuple[PublicKey, bytes, bytes]
"""Key, message, signature."""

Verdict = tuple[bool, object | None]
"""Whether a signature is valid, and the record that was asked for as well, if there is one."""


class Question(NamedTuple):
    """A signature to verify, and what its message's last `payload_bytes` are the payload of."""

    key: PublicKey
    message: bytes
    signature: bytes
    kind: str = ""
    payload_bytes: int = 0


def encode_request(number: int, questions: Sequence[Question]) -> bytes:
    """The request of this number, with at least one question."""
    parts: list[bytes] = []
    for key, message, signature, kind, payload_bytes in questions:
        name = kind.encode()
        parts += (
            _QUESTION.pack(
                key.algorithm, len(key.raw), len(signature), len(message), len(name), payload_bytes
            ),
            key.raw,
            signature,
            message,
            name,
        )
    body = b"".join(parts)
    return HEAD.pack(number, len(questions), len(body)) + body


def decode_answer(number: int, count: int, head: bytes, body: bytes) -> list[Verdict]:
    """The verdicts on `count` questions. Raises ValueError, or what `receive` raises."""
    if head != _answer_head(number, body) or len(body) < count:
        raise ValueError("this is no answer to what was asked")
    records = receive(body[count:]) if len(body) > count else [None] * count
    return [(byte == 1, record) for byte, record in zip(body[:count], records, strict=True)]


def _answer_head(number: int, body: bytes) -> bytes:
    return HEAD.pack(number, len(body), crc32(body))


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
        number, _, size = HEAD.unpack(head)
        body = requests.read(size)
        if len(body) < size:
            return
        answer = _answer(body, quick_yes)
        answers.write(_answer_head(number, answer) + answer)
        answers.flush()


def _answer(body: bytes, quick_yes: Accepts | None) -> bytes:
    verdicts = list(_verdicts(body, quick_yes))
    valid = bytes(valid for valid, _ in verdicts)
    records = [record for _, record in verdicts]
    return valid + carry(records) if any(records) else valid


def _verdicts(body: bytes, quick_yes: Accepts | None) -> Iterator[Verdict]:
    at = 0
    while at < len(body):
        algorithm, key_size, signature_size, message_size, kind_size, payload_size = (
            _QUESTION.unpack_from(body, at)
        )
        # Where each part begins.
        key = at + _QUESTION.size
        signature = key + key_size
        message = signature + signature_size
        kind = message + message_size
        at = kind + kind_size
        try:
            public_key = PublicKey(Algorithm(algorithm), body[key:signature])
            valid = is_valid((public_key, body[message:kind], body[signature:message]), quick_yes)
        except Malformed:
            valid = False
        if valid and kind_size:
            yield valid, decode_ahead(body[kind:at].decode(), body[kind - payload_size : kind])
        else:
            yield valid, None


if __name__ == "__main__":
    # Ctrl-C is for the engine, which ends this process when it has no more to ask.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        # The engine was killed before it had read an answer; Python would tell of what is left of
        # it on the way out.
        os._exit(0)
