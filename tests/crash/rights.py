# SPDX-License-Identifier: Apache-2.0
"""Root without root's right to read everything, for tests of files that one may not read."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

# linux/capability.h
_VERSION_3: Final = 0x20080522
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
_READ_ALL: Final = (1, 2)
SOMEBODY: Final = 65_534
"""A user that these tests are not run as."""


@contextmanager
def bound_by_modes() -> Iterator[None]:
    """This thread reads only what modes allow, until the block ends; root's, or it skips."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to somebody else: run the tests as root")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()
    _call(libc.capget, header, before)
    fewer = (ctypes.c_uint32 * 6)(*before)
    for number in _READ_ALL:
        fewer[0] &= ~(1 << number)
    _call(libc.capset, header, fewer)
    try:
        yield
    finally:
        _call(libc.capset, header, before)


def _call(function: "ctypes._NamedFuncPointer", *arguments: object) -> None:
    if function(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
