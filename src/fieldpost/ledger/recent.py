# SPDX-License-Identifier: Apache-2.0
"""Values of the newest map, remembered by key for whoever applies batch after batch.

A rule reads about eight values for a post, and a walk down a tree of a hundred thousand keys costs
ten times a look into a dictionary. What is remembered is what the map says: `follow` moves both on.
Other threads, which read posts ahead, take a `Glance`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fieldpost.statemap import StateMap

# Ten thousand makers' worth; at about 300 bytes each 20 MB, and forgotten as a whole beyond.
MOST_REMEMBERED: Final = 65_536


class RecentValues:
    """A `Reader` of one map, for one thread; it says what `map.value` says."""

    __slots__ = ("_map", "_values")

    def __init__(self, map_: StateMap) -> None:
        self._map = map_
        self._values: dict[bytes, bytes] = {}

    def value(self, key: bytes) -> bytes | None:
        """The value under a 32-byte map key, or None."""
        value = self._values.get(key)
        if value is None:
            value = self._map.value(key)
            if value is not None:
                self._values[key] = value
        return value

    def replaced_by(self, map_: StateMap, writes: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """The values under keys that were written, to make `map_` of this map; None: it is new.

        Where the map grew by as many keys as are not remembered, all of these are new: then no
        walk down the tree is needed to see that each is missing.
        """
        found = {key: self._values.get(key) for key in writes}
        unknown = [key for key, value in found.items() if value is None]
        if len(map_) - len(self._map) != len(unknown):
            for key in unknown:
                found[key] = self._map.value(key)
        return found

    def follow(self, map_: StateMap, writes: Mapping[bytes, bytes]) -> None:
        """Go on with the map that `writes` made of the one before."""
        self._map = map_
        if len(self._values) + len(writes) > MOST_REMEMBERED:
            self._values.clear()
        self._values.update(writes)

    def glance(self) -> "Glance":
        """For any thread."""
        return Glance(self._values, self._map)


@dataclass(frozen=True, slots=True)
class Glance:
    """A `Reader` for whoever only looks ahead: it remembers nothing.

    A value may be of a batch that came later than the others: no rule may read it.
    """

    remembered: Mapping[bytes, bytes]
    map: StateMap

    def value(self, key: bytes) -> bytes | None:
        """The value under a 32-byte map key, now or lately, or None."""
        value = self.remembered.get(key)
        return self.map.value(key) if value is None else value
