# SPDX-License-Identifier: Apache-2.0
"""What can be set, described where it is declared: a dataclass field is a setting.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Limits:
        post_bytes: int = setting(65_535, "bytes of one post", most=65_535)

That line is all that a new setting needs: file, environment, checks, `config show` and the
reference page follow from it. A field whose type is such a dataclass (`table`) is a TOML table.
A setting never holds a secret, it names the file that does: so all of them can be shown.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints

from fieldpost.errors import Misconfigured

PREFIX: Final = "FIELDPOST_NODE_"
Value = bool | int | float | str | Path | tuple[str, ...] | None
T = TypeVar("T")

_ABOUT: Final = "about"
_KINDS: Final[dict[object, tuple[str, str]]] = {
    bool: ("yes or no", "true"),
    int: ("a whole number", "100"),
    float: ("a number", "2.5"),
    str: ("a text", '"text"'),
    Path: ("a path", '"/path"'),
    tuple[str, ...]: ("a list of texts", '["one", "two"]'),
}


class WrongSetting(Misconfigured):
    """A setting that cannot be, alone or beside others. `names`: of it and of those, dotted."""

    def __init__(self, name: str, says: str, *others: str) -> None:
        super().__init__(f"{name}: {says}")
        self.names = (name, *others)


@dataclass(frozen=True, slots=True)
class _About:
    what: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting. `default` is MISSING where there is none; bounds hold for numbers."""

    name: str
    kind: Any
    default: object
    about: _About

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper().replace(".", "_")

    @property
    def wanted(self) -> str:
        """What a value must be, in words."""
        if self.about.choices:
            return " or ".join(f'"{choice}"' for choice in self.about.choices)
        words, example = _KINDS[self.kind]
        if self.about.least is None or self.about.most is None:
            return f"{words}, as {example}"
        return f"{words}, {self.about.least} to {self.about.most}"

    def check(self, value: object) -> Value:
        """The value, if it is of the right type and within bounds. Raises WrongSetting."""
        found: Any = value
        if self.kind == tuple[str, ...] and isinstance(value, list):
            found = tuple(value) if all(isinstance(item, str) and item for item in value) else None
        elif self.kind is float and type(value) is int:
            found = float(value)
        elif self.kind is Path and isinstance(value, str) and value and "\0" not in value:
            found = Path(value)
        right = isinstance(found, Path) if self.kind is Path else type(found) is self._type
        if not right or not self._is_within(found):
            raise WrongSetting(self.name, f"must be {self.wanted}, and is {value!r}")
        return found  # type: ignore[no-any-return]

    def parse(self, text: str) -> Value:
        """The value that an environment variable's text means. Raises WrongSetting."""
        value: object = text
        try:
            if self.kind is int:
                value = int(text)
            elif self.kind is float:
                value = float(text)
            elif self.kind is bool:
                value = {"true": True, "false": False}.get(text, text)
            elif self.kind == tuple[str, ...]:
                value = [item.strip() for item in text.split(",")] if text else []
        except ValueError:
            pass  # the text itself is what `check` refuses
        return self.check(value)

    @property
    def _type(self) -> type:
        return tuple if self.kind == tuple[str, ...] else self.kind

    def _is_within(self, value: Any) -> bool:
        if self.about.choices:
            return value in self.about.choices
        least, most = self.about.least, self.about.most
        return least is None or most is None or bool(least <= value <= most)


def setting(default: T, what: str, *, least: float | None = None, most: float | None = None) -> T:
    """A field with a default. Numbers need `most`; `least` is 1 unless said."""
    if type(default) in (int, float) and most is None:
        raise AssertionError(f"{what}: a number without a limit")
    if most is not None and least is None:
        least = 1
    made: T = field(default=default, metadata={_ABOUT: _About(what, least, most)})
    return made


def choice(default: str, what: str, choices: tuple[str, ...]) -> str:
    """A field that is one of a few words."""
    made: str = field(default=default, metadata={_ABOUT: _About(what, choices=choices)})
    return made


def required(what: str) -> Any:
    """A field that somebody must set."""
    return field(metadata={_ABOUT: _About(what)})


def table(kind: type[T]) -> T:
    """A field that is a table of settings, each with its default."""
    made: T = field(default_factory=kind)
    return made


def settings_of(kind: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a dataclass and of its tables, in the order of declaration."""
    hints = get_type_hints(kind)
    for item in fields(kind):
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            yield from settings_of(hints[item.name], f"{name}.")
            continue
        # Nothing stands for "not set" in a file: such a setting is left away.
        kinds = [one for one in get_args(hints[item.name]) or () if one is not NoneType]
        optional = NoneType in get_args(hints[item.name])
        yield Setting(
            name=name,
            kind=kinds[0] if optional else hints[item.name],
            default=MISSING if item.default is MISSING else item.default,
            about=item.metadata[_ABOUT],
        )


def check_values(made: object, prefix: str = "") -> None:
    """Check every value of a dataclass and not those of its tables. Raises WrongSetting."""
    for setting in settings_of(type(made), prefix):
        name = setting.name.removeprefix(prefix)
        value = None if "." in name else getattr(made, name)
        if value is not None:
            setting.check(value)


def build(kind: type[T], values: dict[str, Any], prefix: str = "") -> T:
    """The dataclass with these values by dotted name; defaults for the rest.

    Raises WrongSetting for values that contradict each other.
    """
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        name = prefix + item.name
        if is_dataclass(hints[item.name]):
            given[item.name] = build(hints[item.name], values, f"{name}.")
        elif name in values:
            given[item.name] = values[name]
    return kind(**given)
