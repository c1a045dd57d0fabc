# SPDX-License-Identifier: Apache-2.0
"""Are a node's key files the keys that the board names, and is the mark one of its log's sizes?

Both change while a node runs, so they are looked at before the log is read, and judged after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldpost.engines.operator_keys import COSIGNER, GOVERNANCE, LOG, POST_QUANTUM, load_signer
from fieldpost.engines.operator_keys import next_path as successor
from fieldpost.engines.signed_mark import MARK, SignedMark
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Unavailable, Untrusted
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.records.board import BoardRecord
from fieldpost.signers.pkcs11_uri import parse_token_uri
from fieldpost.store.read_faults import why_not_read
from fieldpost.tlog.checkpoint import open_checkpoint, parse_checkpoint
from fieldpost.tlog.note import ED25519, VerifierKey, parse_note
from fieldpost.tlog.tree import CompactRange, HashReader, read_compact_range


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The key files of a folder as they were at one time.

    `public` has the public key of each, or why there is none; `mark` is what was signed last, or
    what is wrong with the file that says so, None where it cannot be read. `unread` are files that
    cannot be read, and why.
    """

    folder: Path
    public: dict[Path, PublicKey | str]
    mark: SignedMark | str | None
    unread: dict[Path, Unavailable]

    @property
    def mark_path(self) -> Path:
        """Where the mark lies."""
        return self.folder / MARK


def look_at_keys(folder: Path) -> KeyFiles:
    """All key files below `folder`, and the mark."""
    public: dict[Path, PublicKey | str] = {}
    unread: dict[Path, Unavailable] = {}
    names = [LOG, COSIGNER, POST_QUANTUM, GOVERNANCE]
    paths = [path for name in names for path in (folder / f"{name}.pem", successor(folder, name))]
    for path in (*paths, *_retired(folder / "retired", unread)):
        try:
            if (wrong := why_not_read(path)) is not None:
                public[path] = wrong
                continue
            with path.open("rb"):
                pass
            public[path] = load_signer(path).public_key
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unread[path] = Unavailable(f"cannot read {path}: {error.strerror}")
            unread[path].__cause__ = error
        except Unavailable as error:
            # A token that is away.
            unread[path] = error
        except FieldpostError as error:
            if _names_token(path):
                # Whole as far as it goes: the module, the PIN or the rights are another host's.
                unread[path] = Unavailable(f"its token cannot be asked here: {error}")
            else:
                public[path] = f"it cannot be used: {error}"
    mark: SignedMark | str | None = None
    try:
        mark = why_not_read(folder / MARK) or SignedMark(folder)
    except Unavailable as error:
        unread[folder / MARK] = error
    except (Misconfigured, Malformed) as error:
        mark = str(error)
    return KeyFiles(folder, public, mark, unread)


def _names_token(path: Path) -> bool:
    try:
        parse_token_uri(path.read_text().strip())
    except (OSError, UnicodeDecodeError, Misconfigured):
        return False
    return True


def have_signed(keys: KeyFiles, note: bytes) -> bool:
    """Whether a key that lies here signed this checkpoint, as the log key does."""
    try:
        origin = parse_checkpoint(parse_note(note).text).origin
        known = {
            VerifierKey(origin, ED25519, key.raw)
            for key in keys.public.values()
            if isinstance(key, PublicKey) and key.algorithm is Algorithm.ED25519
        }
        open_checkpoint(note, known)
    except (Malformed, Untrusted):
        return False
    return True


def _retired(folder: Path, unread: dict[Path, Unavailable]) -> list[Path]:
    try:
        # A glob would pass over a folder that it may not list.
        return sorted(path for path in folder.iterdir() if path.suffix == ".pem")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        unread[folder] = Unavailable(f"cannot list {folder}: {error.strerror}")
        unread[folder].__cause__ = error
        return []


def wrong_keys(
    keys: KeyFiles, record: BoardRecord, tree: HashReader, size: int
) -> Iterator[tuple[Path, str]]:
    """Every key file that is missing, unusable, or of no operator; and why.

    `tree` is that of all `size` entries on the disk. Successors and retired keys must be usable;
    whose they are, a board does not say. Files that cannot be read are not judged.
    """
    named: dict[str, set[PublicKey]] = {
        LOG: {operator.log_key.public_key for operator in record.operators},
        COSIGNER: _cosigners(record),
        POST_QUANTUM: _cosigners(record),
        GOVERNANCE: set(record.governance.values()),
    }
    for path, key in keys.public.items():
        if isinstance(key, str):
            yield path, key
    for name, known in named.items():
        path, further = keys.folder / f"{name}.pem", successor(keys.folder, name)
        if keys.unread.keys() & {path, further}:
            continue
        found = keys.public.get(path)
        if found is None:
            if name in (LOG, COSIGNER) and further not in keys.public:
                yield path, "it is missing"
        elif not isinstance(found, str) and not {found, keys.public.get(further)} & known:
            yield path, "it is not the key that the board names"
    if (wrong := _wrong_mark(keys.mark, tree, size)) is not None:
        yield keys.mark_path, wrong


def _cosigners(record: BoardRecord) -> set[PublicKey]:
    return {key.public_key for operator in record.operators for key in operator.cosigner_keys}


def _wrong_mark(mark: SignedMark | str | None, tree: HashReader, size: int) -> str | None:
    if mark is None or isinstance(mark, str):
        return mark
    if mark.size == 0:
        return None
    if mark.size > size:
        return f"it says that size {mark.size} was signed, the log has {size} entries"
    range_: CompactRange = read_compact_range(tree, size=mark.size)
    return None if mark.is_of(range_) else "it is not of this log"
