# SPDX-License-Identifier: Apache-2.0
"""A rotation of keys that is under way: what survives an interruption at any moment.

    HOME/keys/<role>-<n>.e<epoch>.pem   the new keys, written before anything is signed
    HOME/rotation.json                  which files they are, and the record that names them
    HOME/keys/retired/                  the old ones, once the board has the record

The board decides whether it happened: the record in force is compared with the one in the file.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from fieldpost import durable
from fieldpost.cli.maker_home import MakeKey, MakerHome
from fieldpost.errors import Misconfigured
from fieldpost.keys import Signer
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey, Scope

KeysByRole = Mapping[Role, tuple[int, tuple[Signer, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What rotation.json holds. `keys`: files by role; `record`: the new record, in hex."""

    keys: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, int]
    record: str
    previous: str | None

    @classmethod
    def load(cls, maker: MakerHome) -> Self | None:
        """The rotation under way, if there is one. Raises Misconfigured."""
        path = _path(maker)
        try:
            value = json.loads(path.read_text())
            value["keys"] = {role: tuple(files) for role, files in value["keys"].items()}
            return cls(**value)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise Misconfigured(f"{path} cannot be read: {error}") from error

    def save(self, maker: MakerHome) -> None:
        """Keep it until it is finished."""
        data = json.dumps(asdict(self), indent=2).encode() + b"\n"
        durable.write_file(_path(maker), data, mode=0o600)

    def signers(self, maker: MakerHome) -> list[Signer]:
        """The new keys, unlocked."""
        files = [file for names in self.keys.values() for file in names]
        return [maker.key(file) for file in files]

    def adopt(self, maker: MakerHome) -> None:
        """Go on with the new keys; the files of old ones are kept apart."""
        settings = maker.settings()
        maker.adopt(
            replace(
                settings,
                keys={**settings.keys, **self.keys},
                root_threshold=self.thresholds.get("root", settings.root_threshold),
                release_threshold=self.thresholds.get("release", settings.release_threshold),
            )
        )
        _retire(maker, (f for role in self.keys for f in settings.keys.get(role, ())), self.keys)
        durable.remove(_path(maker))

    def abandon(self, maker: MakerHome) -> None:
        """Forget it. The new keys are kept apart, since a board may have seen them."""
        _retire(maker, (file for files in self.keys.values() for file in files), {})
        durable.remove(_path(maker))


def _path(maker: MakerHome) -> Path:
    return maker.path / "rotation.json"


def _retire(maker: MakerHome, files: Iterable[str], kept: Mapping[str, tuple[str, ...]]) -> None:
    retired = maker.path / "keys" / "retired"
    durable.make_dirs(retired, mode=0o700)
    in_use = {file for names in kept.values() for file in names}
    for file in files:
        path = maker.path / "keys" / file
        if file not in in_use and path.exists():
            durable.publish(path, retired / file)


def make_keys(
    maker: MakerHome,
    counts: Mapping[Role, int],
    *,
    epoch: int,
    make_key: MakeKey,
) -> dict[Role, dict[str, Signer]]:
    """Make new keys: their files, and the signer of each, by role."""
    made: dict[Role, dict[str, Signer]] = {}
    name = maker.settings().name
    for role, count in counts.items():
        made[role] = {}
        for file in (f"{role.name.lower()}-{n}.e{epoch}.pem" for n in range(1, count + 1)):
            path = maker.path / "keys" / file
            # Left by an interrupted run that had not yet written rotation.json: nobody knows them.
            if path.exists():
                durable.remove(path)
            made[role][file] = make_key(role, path, name)
    return made


def renewed(record: MakerRecord, keys: KeysByRole) -> MakerRecord:
    """The record with other keys in some roles; scopes go on. Raises Misconfigured."""
    sets = {
        role: KeySet(
            threshold,
            tuple(RoleKey(s.public_key, _scope_of(record, role)) for s in signers),
        )
        for role, (threshold, signers) in keys.items()
    }
    return replace(
        record,
        root=sets.get(Role.ROOT, record.root),
        roles={**record.roles, **{r: s for r, s in sets.items() if r is not Role.ROOT}},
    )


def _scope_of(record: MakerRecord, role: Role) -> Scope | None:
    scopes = {entry.scope for entry in record.keys_of(role).keys}
    if len(scopes) > 1:
        raise Misconfigured(
            f"the {role.name.lower()} keys have different scopes: take those of others out first, "
            f"`fieldpost maker remove-key {role.name.lower()} THUMBPRINT`, and add them again later"
        )
    return next(iter(scopes), None)
