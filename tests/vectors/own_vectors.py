# SPDX-License-Identifier: Apache-2.0
"""Reading the project's own vectors, and comparing a verdict with the one that they state."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldpost.errors import FieldpostError, Malformed, Untrusted

FOLDER = Path(__file__).resolve().parents[2] / "vectors"
Case = dict[str, Any]


def load(name: str) -> Any:
    """The content of `vectors/<name>.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def cases(name: str, *path: str) -> pytest.MarkDecorator:
    """A parametrisation over the cases that stand under `path` in `vectors/<name>.json`."""
    found: Any = load(name)
    for step in path:
        found = found[step]
    marked = [
        pytest.param(case, id=str(case.get("name", number))) for number, case in enumerate(found)
    ]
    assert marked, f"{name}.json has no cases under {path}"
    return pytest.mark.parametrize("case", marked)


def reason_of(call: Callable[[], object]) -> str | None:
    """None if `call` returns, else `malformed` or the reason with which it refuses."""
    try:
        call()
    except Malformed:
        return "malformed"
    except Untrusted as error:
        return error.reason
    except FieldpostError as error:
        raise AssertionError(f"neither malformed nor untrusted: {error!r}") from error
    return None


def octets(value: str) -> bytes:
    """The bytes that a vector writes in hex."""
    return bytes.fromhex(value)


def optional(value: str | None) -> bytes | None:
    """The bytes that a vector writes in hex, or null."""
    return None if value is None else bytes.fromhex(value)


def many(values: list[str]) -> tuple[bytes, ...]:
    """A list of byte strings."""
    return tuple(bytes.fromhex(value) for value in values)
