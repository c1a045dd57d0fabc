# SPDX-License-Identifier: Apache-2.0
"""A maker's own files: keys, settings, and every post that was signed.

    HOME/maker.json      name, maker id, root threshold, board, key files by role
    HOME/keys/*.pem      private keys, encrypted, or the names of keys in a token
    HOME/outbox/*.cose   signed, perhaps sent, not yet acknowledged
    HOME/sent/*.cose     acknowledged, each beside its receipt *.tlog-proof
    HOME/refused/*.cose  refused by the board's rules
    HOME/checkpoints/*   of each board the newest checkpoint that was seen, and where its nodes are
    HOME/links/*.cose    links of the maker's that no board takes, because it is gone
    HOME/evidence/*      two signed notes that cannot both be honest

A post is saved before it is sent, so a lost answer never means a second, different signature.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fieldpost import durable
from fieldpost.errors import Misconfigured
from fieldpost.keys import PublicKey, Signer
from fieldpost.records.identifiers import maker_id
from fieldpost.records.maker import Role
from fieldpost.signers.keyfile import load_key_file, save_key_file
from fieldpost.signers.software import SoftwareSigner

# Makes a key, writes its file at the path, says by the name whose it is.
MakeKey = Callable[[Role, Path, str], Signer]
ROLES: Final = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What maker.json holds. `board`: the one that commands act on; `boards`: its maker's URLs of
    nodes, by board id."""

    name: str
    maker: str
    root_threshold: int
    keys: Mapping[str, tuple[str, ...]]
    release_threshold: int = 1
    board: str | None = None
    boards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def board_urls(self) -> tuple[str, ...]:
        """URLs of the board that commands act on."""
        return () if self.board is None else self.boards.get(self.board, ())


class MakerHome:
    """The files of one maker. Nothing is read until it is asked for."""

    def __init__(
        self,
        path: Path,
        passphrase: Callable[[], bytes],
        *,
        pin_prompt: Callable[[str], str] | None = None,
    ) -> None:
        self.path = path
        self._passphrase = passphrase
        self._pin_prompt = pin_prompt
        self._signers: dict[str, Signer] = {}

    def settings(self) -> Settings:
        """Read maker.json. Raises Misconfigured with the command that makes it."""
        try:
            value = json.loads((self.path / "maker.json").read_text())
            value["keys"] = {role: tuple(files) for role, files in value["keys"].items()}
            value["boards"] = _read_boards(value)
            return Settings(**value)
        except FileNotFoundError:
            raise Misconfigured(
                f"no maker in {self.path}; make one with `fieldpost maker init --name NAME`, "
                "or name its folder with --home or FIELDPOST_HOME"
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Misconfigured(
                f"{self.path}/maker.json is damaged ({error}); restore it from your backup"
            ) from error

    def create(
        self,
        *,
        name: str,
        counts: Mapping[Role, int],
        make_key: MakeKey,
        root_threshold: int,
        release_threshold: int,
    ) -> Settings:
        """Make keys, then settings. Refuses to touch a home that exists."""
        self._begin()
        files: dict[str, tuple[str, ...]] = {}
        root_keys: list[PublicKey] = []
        for role, count in counts.items():
            names = tuple(f"{role.name.lower()}-{number}.pem" for number in range(1, count + 1))
            made = [make_key(role, self.path / "keys" / file, name) for file in names]
            files[role.name.lower()] = names
            if role is Role.ROOT:
                root_keys = [signer.public_key for signer in made]
        settings = Settings(
            name=name,
            maker=maker_id(root_keys, root_threshold).hex(),
            root_threshold=root_threshold,
            release_threshold=release_threshold,
            keys=files,
        )
        self._save(settings)
        return settings

    def join(
        self,
        *,
        name: str,
        maker: str,
        role: Role,
        signer: SoftwareSigner,
        passphrase: bytes | None,
        board: str,
        board_urls: Sequence[str],
    ) -> None:
        """Write one key of a role of somebody else's. Refuses to touch a home that exists."""
        self._begin()
        file = f"{role.name.lower()}-1.pem"
        save_key_file(self.path / "keys" / file, signer, passphrase)
        self._save(
            Settings(
                name=name,
                maker=maker,
                root_threshold=0,
                keys={role.name.lower(): (file,)},
                board=board,
                boards={board: tuple(board_urls)},
            )
        )

    def _begin(self) -> None:
        if (self.path / "maker.json").exists():
            raise Misconfigured(f"{self.path} holds a maker already; choose another --home")
        if any((self.path / "keys").glob("*.pem")):
            raise Misconfigured(
                f"{self.path}/keys holds keys of a `maker init` that was interrupted; no board "
                "knows them: remove that folder, or choose another --home"
            )
        durable.make_dirs(self.path / "keys", mode=0o700)

    def know(self, *, board_urls: Sequence[str], board: str) -> None:
        """Remember a board on which this maker is registered, or is about to be."""
        settings = self.settings()
        boards = {**settings.boards, board: tuple(board_urls)}
        self._save(replace(settings, boards=boards))

    def bind(self, *, board_urls: Sequence[str], board: str, stay: bool = False) -> None:
        """Remember a board, and act on it from now on, unless to `stay` with the current one."""
        self.know(board_urls=board_urls, board=board)
        settings = self.settings()
        if settings.board in (None, board) or not stay:
            self._save(replace(settings, board=board))

    def _save(self, settings: Settings) -> None:
        data = json.dumps(asdict(settings), indent=2).encode() + b"\n"
        durable.write_file(self.path / "maker.json", data, mode=0o600)

    def signers(self, role: Role, count: int) -> tuple[Signer, ...]:
        """`count` private keys of a role, unlocked. Raises Misconfigured if fewer are here."""
        files = self.settings().keys.get(role.name.lower(), ())
        present = [file for file in files if (self.path / "keys" / file).exists()]
        if len(present) < count:
            absent = [file for file in files if file not in present]
            raise Misconfigured(
                f"this needs {count} {role.name.lower()} key(s) and {len(present)} are in "
                f"{self.path}/keys; bring {', '.join(absent) or 'them'} back for now"
            )
        return tuple(self._unlock(file) for file in present[:count])

    def everyone(self, role: Role) -> tuple[Signer, ...]:
        """All private keys of a role. Raises Misconfigured if one is not here."""
        return self.signers(role, len(self.settings().keys.get(role.name.lower(), ())))

    def present(self, role: Role) -> Iterator[Signer]:
        """The private keys of a role that are here, unlocked one by one as they are taken."""
        for file in self.settings().keys.get(role.name.lower(), ()):
            if (self.path / "keys" / file).exists():
                yield self._unlock(file)

    def key(self, file: str) -> Signer:
        """One private key by the name of its file, unlocked."""
        return self._unlock(file)

    def adopt(self, settings: Settings) -> None:
        """Go on with other keys or thresholds, which the board has accepted."""
        self._save(settings)

    def _unlock(self, file: str) -> Signer:
        if file not in self._signers:
            self._signers[file] = load_key_file(
                self.path / "keys" / file, self._passphrase, pin_prompt=self._pin_prompt
            )
        return self._signers[file]

    # --- what was signed ---

    def keep(self, name: str, post: bytes) -> Path:
        """Save a signed post to the outbox before it is sent."""
        durable.make_dirs(self.path / "outbox")
        number = 1 + max((int(p.name.split("-", 1)[0]) for p in self._numbered()), default=0)
        path = self.path / "outbox" / f"{number:06d}-{name}.cose"
        durable.write_file(path, post)
        return path

    def _numbered(self) -> list[Path]:
        return [p for d in ("outbox", "sent", "refused") for p in (self.path / d).glob("*.cose")]

    def pending(self) -> list[Path]:
        """Posts in the outbox, oldest first."""
        return sorted((self.path / "outbox").glob("*.cose"))

    def acknowledge(self, path: Path, receipt: bytes) -> Path:
        """Move a post from the outbox to `sent`, with its receipt. Returns the receipt's path."""
        durable.make_dirs(self.path / "sent")
        proof = self.path / "sent" / (path.stem + ".tlog-proof")
        durable.write_file(proof, receipt)
        durable.publish(path, self.path / "sent" / path.name)
        return proof

    def refuse(self, path: Path) -> Path:
        """Move a post that the rules refuse from the outbox to `refused`."""
        durable.make_dirs(self.path / "refused")
        target = self.path / "refused" / path.name
        durable.publish(path, target)
        return target

    def keep_evidence(self, statements: Sequence[bytes]) -> Path:
        """Save signed statements that contradict each other. Returns their folder."""
        folder = self.path / "evidence"
        durable.make_dirs(folder)
        for statement in statements:
            name = f"{sha256(statement).hexdigest()[:16]}.note"
            durable.write_file(folder / name, statement)
        return folder


def _read_boards(value: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """URLs by board; earlier versions wrote one for each, and that of the current one apart."""
    boards = {
        board: (urls,) if isinstance(urls, str) else tuple(urls)
        for board, urls in value.get("boards", {}).items()
    }
    url = value.pop("board_url", None)
    if url is not None:
        boards[value["board"]] = (url,)
    return boards


def default_home() -> Path:
    """FIELDPOST_HOME, or ~/.fieldpost."""
    return Path(os.environ.get("FIELDPOST_HOME") or Path.home() / ".fieldpost")
