# SPDX-License-Identifier: Apache-2.0
"""Are a node's key files the keys that the board names, and is the mark one of its log's sizes?"""

from collections.abc import Iterator
from pathlib import Path

from fieldpost.engines.operator_keys import COSIGNER, GOVERNANCE, LOG, POST_QUANTUM, load_signer
from fieldpost.engines.operator_keys import next_path as successor
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import FieldpostError, Malformed, Misconfigured
from fieldpost.keys import PublicKey
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.tree import CompactRange, HashReader, read_compact_range


def wrong_keys(
    keys: Path, record: BoardRecord, tree: HashReader, size: int
) -> Iterator[tuple[Path, str]]:
    """Every key file that is missing, unreadable, or of no operator; and why.

    `tree` is that of all `size` entries on the disk. Successors and retired keys must be readable;
    whose they are, a board does not say.
    """
    named: dict[str, set[PublicKey]] = {
        LOG: {operator.log_key.public_key for operator in record.operators},
        COSIGNER: _cosigners(record),
        POST_QUANTUM: _cosigners(record),
        GOVERNANCE: set(record.governance.values()),
    }
    for name, known in named.items():
        path, further = keys / f"{name}.pem", successor(keys, name)
        if not path.exists():
            if name in (LOG, COSIGNER) and not further.exists():
                yield path, "it is missing"
            continue
        found = {path: _public(path)} | ({further: _public(further)} if further.exists() else {})
        for file, key in found.items():
            if isinstance(key, str):
                yield file, key
        if not any(key in known for key in found.values()) and not isinstance(found[path], str):
            yield path, "it is not the key that the board names"
    for path in sorted((keys / "retired").glob("*.pem")):
        if isinstance(key := _public(path), str):
            yield path, key
    if (wrong := _wrong_mark(keys, tree, size)) is not None:
        yield keys / "largest-signed", wrong


def _cosigners(record: BoardRecord) -> set[PublicKey]:
    return {key.public_key for operator in record.operators for key in operator.cosigner_keys}


def _public(path: Path) -> PublicKey | str:
    """The public key of a file, or why there is none."""
    try:
        return load_signer(path).public_key
    except FieldpostError as error:
        return f"it cannot be used: {error}"


def _wrong_mark(keys: Path, tree: HashReader, size: int) -> str | None:
    try:
        mark = SignedMark(keys)
    except (Misconfigured, Malformed) as error:
        return str(error)
    if mark.size == 0:
        return None
    if mark.size > size:
        return f"it says that size {mark.size} was signed, the log has {size} entries"
    range_: CompactRange = read_compact_range(tree, size=mark.size)
    return None if mark.is_of(range_) else "it is not of this log"
