# SPDX-License-Identifier: Apache-2.0
"""A node's settings from where operators keep them: a TOML file, the environment, options.

Options come before the environment, the environment before the file, the file before defaults.
Whatever is wrong is said at once, each with where it stands, its name and what to do; a name that
is not known is wrong too, because a misspelt limit would otherwise be no limit.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from fieldpost.errors import Misconfigured
from fieldpost.node.config import NodeConfig
from fieldpost.node.setting import PREFIX, Setting, WrongSetting, build, settings_of

FILE_VARIABLE: Final = f"{PREFIX}CONFIG"
SETTINGS: Final = {each.name: each for each in settings_of(NodeConfig)}
MOST_BYTES: Final = 1024 * 1024
_DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Sourced:
    """A configuration, and where each setting (by dotted name) comes from."""

    config: NodeConfig
    origins: Mapping[str, str]

    def values(self) -> Iterator[tuple[str, object, str]]:
        """(name, value, where it comes from) of every setting."""
        for name in SETTINGS:
            value: Any = self.config
            for part in name.split("."):
                value = getattr(value, part)
            yield name, value, self.origins[name]


class Misconfigurations(Misconfigured):
    """All that is wrong, one line each."""

    def __init__(self, troubles: list[str]) -> None:
        super().__init__("; ".join(troubles))
        self.troubles = troubles


def load_config(
    *, file: Path | None, environment: Mapping[str, str], options: Mapping[str, object]
) -> Sourced:
    """The node's settings. `options` by dotted name, those alone that were given.

    Relative paths in the file are relative to its folder. Raises Misconfigurations.
    """
    reader = _Reader()
    if file is not None:
        reader.read_file(file)
    reader.read_environment(environment)
    for name, value in options.items():
        reader.take(name, f"--{name.replace('.', '-').replace('_', '-')}", lambda _, v=value: v)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.troubles: list[str] = []

    def take(self, name: str, origin: str, read: Any) -> None:
        try:
            self.values[name] = read(SETTINGS[name])
            self.origins[name] = origin
        except WrongSetting as wrong:
            self.troubles.append(f"{origin}: {wrong}")

    def read_file(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            if len(data) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes")
            found = tomllib.loads(data.decode())
        except OSError as error:
            self.troubles.append(f"cannot read {path}: {error.strerror}; name another --config")
            return
        except ValueError as error:  # TOMLDecodeError is one, and so is what is no UTF-8
            self.troubles.append(f"{path}: {error}; correct the file")
            return
        for name, value in _flat(found):
            if name not in SETTINGS:
                self.troubles.append(f"{path}: {_unknown(name, value)}")
                continue

            def read(setting: Setting, value: object = value) -> object:
                checked = setting.check(value)
                return path.parent / checked if isinstance(checked, Path) else checked

            self.take(name, str(path), read)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        names = {setting.variable: name for name, setting in SETTINGS.items()}
        for variable, text in sorted(environment.items()):
            if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
                continue
            if variable not in names:
                ends = [name.removeprefix(PREFIX) for name in names]
                near = get_close_matches(variable.removeprefix(PREFIX), ends, n=1)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else "; unset it"
                self.troubles.append(f"{variable}: there is no such setting{hint}")
                continue
            self.take(names[variable], variable, lambda s, text=text: s.parse(text))

    def finish(self) -> Sourced:
        for name, setting in SETTINGS.items():
            if name in self.values:
                continue
            if setting.default is MISSING:
                option = f"--{name}"
                self.troubles.append(
                    f"{name}: is not set; give {option}, {setting.variable}, or {name} in --config"
                )
            self.origins[name] = _DEFAULT
        if self.troubles:
            raise Misconfigurations(self.troubles)
        try:
            return Sourced(build(NodeConfig, self.values), self.origins)
        except WrongSetting as wrong:
            where = dict.fromkeys(self.origins[name] for name in wrong.names)
            where.pop(_DEFAULT, None)  # what nobody set is not where to look
            raise Misconfigurations([f"{', '.join(where)}: {wrong}"]) from wrong


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = prefix + key
        is_table = any(known.startswith(f"{name}.") for known in SETTINGS)
        if is_table and isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _unknown(name: str, value: object) -> str:
    if any(known.startswith(f"{name}.") for known in SETTINGS):
        return f"{name}: must be a table, as [{name}], and is {value!r}"
    near = get_close_matches(name, SETTINGS, n=1)
    hint = f"did you mean {near[0]}?" if near else "`fieldpost node config show` lists all"
    return f"{name}: there is no such setting; {hint}"
