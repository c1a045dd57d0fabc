# SPDX-License-Identifier: Apache-2.0
"""A program whose clock is wrong, although nothing of it was changed and it is written in Go.

    python wrong_clock.py SECONDS PROGRAM ARGUMENT...

The program asks the kernel for the time of day, and is told SECONDS more (or less, below 0); what
it measures durations by is right. A library that replaces functions does not reach programs in Go,
and a time namespace leaves the time of day alone. So two things of Linux on x86-64 are used:

    auxiliary vector    at the start, the entry that shows the kernel's own clock page to the
                        program is blanked, after which every question is a system call
    seccomp             a filter hands `clock_gettime(CLOCK_REALTIME)` to a helper process, which
                        writes the wrong time to where it was wanted

Programs of the interpreter in between (`engines.cometbft.leash`) are passed through. The helper is
a child of the program and ends with it.
"""

import array
import ctypes
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from typing import Final

_NO_NEW_PRIVS: Final = 38
_SECCOMP: Final = 317
_LISTEN: Final = 1 << 3
_UNDISTURBED: Final = 1 << 5
_X86_64: Final = 0xC000003E
_CLOCK_GETTIME: Final = 228
_TO_LISTENER, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_SEIZE, _GET_REGISTERS, _DETACH, _GO_ON, _AT_EXEC = 0x4206, 12, 17, 7, 0x10
_ANY_CHILD: Final = 0x40000000
_CLOCK_PAGE, _NOTHING = 33, 1
_STACK_POINTER: Final = 19

_libc = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_void_p)]


def run_with_wrong_clock(seconds: int, command: list[str]) -> None:
    """Become `command`, told the wrong time. Raises OSError where Linux does not let us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = os.getpid()
    if os.fork() == 0:
        ours.close()
        with suppress(OSError):
            _help(program, seconds, theirs)
        os._exit(0)
    theirs.close()
    _check(ours.recv(1) == b"+")
    listener = _listen()
    ours.sendmsg([b"+"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.execv(command[0], command)  # noqa: S606 - a list of arguments, and our own


def _listen() -> int:
    """From here on this process's questions for the time of day go to who has the descriptor."""
    load, equals, give = 0x20, 0x15, 0x06
    code = b"".join(
        struct.pack("=HBBI", *line)
        for line in (
            (load, 0, 0, 4),
            (equals, 0, 5, _X86_64),
            (load, 0, 0, 0),
            (equals, 0, 3, _CLOCK_GETTIME),
            (load, 0, 0, 16),
            (equals, 0, 1, time.CLOCK_REALTIME),
            (give, 0, 0, _TO_LISTENER),
            (give, 0, 0, _ALLOW),
        )
    )
    held = ctypes.create_string_buffer(code, len(code))
    program = _Filter(len(code) // 8, ctypes.cast(held, ctypes.c_void_p))
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    listener: int = _libc.syscall(_SECCOMP, 1, _LISTEN | _UNDISTURBED, ctypes.byref(program))
    _check(listener >= 0)
    return listener


# --- the helper ---


def _help(program: int, seconds: int, line: socket.socket) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    _trace(_SEIZE, program, 0, _AT_EXEC)
    line.send(b"+")
    _, rights, _, _ = line.recvmsg(1, socket.CMSG_SPACE(4))
    (listener,) = struct.unpack("i", rights[0][2][:4])
    _blank_clock_page(program)
    memory = os.open(f"/proc/{program}/mem", os.O_RDWR)
    questions = select.poll()
    questions.register(listener, select.POLLIN)
    while not any(event & select.POLLHUP for _, event in questions.poll()):
        question = bytearray(80)
        try:
            ioctl(listener, _RECEIVE, question)
        except FileNotFoundError:
            continue  # a signal took it back; it is asked again
        (number,) = struct.unpack_from("=Q", question)
        (where,) = struct.unpack_from("=Q", question, 40)
        now = time.time_ns() + seconds * 1_000_000_000  # noqa: TID251 - this is the wrong clock
        # Who died meanwhile needs no answer.
        with suppress(OSError):
            os.pwrite(memory, struct.pack("=qq", *divmod(now, 1_000_000_000)), where)
            ioctl(listener, _ANSWER, struct.pack("=QqiI", number, 0, 0, 0))


def _blank_clock_page(program: int) -> None:
    """Follow it until it is no interpreter any more, and see to it that it asks the kernel."""
    interpreter = Path(sys.executable).resolve()
    while True:
        os.waitpid(program, _ANY_CHILD)
        if Path(f"/proc/{program}/exe").resolve() != interpreter:
            break
        _trace(_GO_ON, program, 0, 0)
    registers = ctypes.create_string_buffer(27 * 8)
    _trace(_GET_REGISTERS, program, 0, ctypes.addressof(registers))
    (at,) = struct.unpack_from("=Q", registers, _STACK_POINTER * 8)
    memory = os.open(f"/proc/{program}/mem", os.O_RDWR)

    def word() -> int:
        nonlocal at
        (found,) = struct.unpack("=Q", os.pread(memory, 8, at))
        at += 8
        return int(found)

    word()  # how many arguments
    for _ in ("arguments", "environment"):
        while word():
            pass
    while kind := word():
        if kind == _CLOCK_PAGE:
            os.pwrite(memory, struct.pack("=Q", _NOTHING), at - 8)
        word()
    os.close(memory)
    _trace(_DETACH, program, 0, 0)


def _trace(request: int, program: int, address: int, data: int) -> None:
    words = (ctypes.c_long(request), ctypes.c_long(program))
    _check(_libc.ptrace(*words, ctypes.c_void_p(address), ctypes.c_void_p(data)) == 0)


def _check(succeeded: object) -> None:
    if not succeeded:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    run_with_wrong_clock(int(sys.argv[1]), sys.argv[2:])
