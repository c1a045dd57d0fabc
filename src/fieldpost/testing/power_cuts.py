# SPDX-License-Identifier: Apache-2.0
"""A power cut at every change of a disk, judged while the program under test goes on.

    cuts = PowerCuts(disk, folder, judge, chance=Random(seed))
    …                       the program runs once; `judge` starts another on every survivor
    cuts.promise()          the program acknowledged something: the same states are judged anew
    assert cuts.failures == []

One run meets every cut point, since what may survive is asked of the model and not of a second run.
A state that was judged under the same promises is not judged again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Final

from fieldpost.testing.survivors import Chance, survivors
from fieldpost.testing.volatile_disk import VolatileDisk

MOST_FAILURES: Final = 10


class PowerCuts:
    """Judges the survivors of `disk`. `judge` is given a directory and raises if it is not right.

    `judged` counts states, `failures` tells the first of those that were not right. They are kept
    and not raised, because a program takes an exception at its disk for a fault of the disk.
    """

    def __init__(
        self,
        disk: VolatileDisk,
        folder: Path,
        judge: Callable[[Path], None],
        *,
        chance: Chance,
        by_lot: int = 2,
    ) -> None:
        self.judged = 0
        self.failures: list[str] = []
        self._disk = disk
        self._folder = folder
        self._judge = judge
        self._chance = chance
        self._by_lot = by_lot
        self._changes = 0
        self._seen: set[bytes] = set()
        disk.on_change = self._at

    def promise(self) -> None:
        """More is promised from now on, also of a cut right now."""
        self._seen.clear()
        self._at("promise")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, nothing is judged: to come to the moments that matter."""
        self._disk.on_change = lambda _: None
        try:
            yield
        finally:
            self._disk.on_change = self._at

    def _at(self, what: str) -> None:
        self._changes += 1
        for survivor in survivors(self._disk, chance=self._chance, by_lot=self._by_lot):
            if survivor.digest in self._seen or len(self.failures) >= MOST_FAILURES:
                continue
            self._seen.add(survivor.digest)
            self.judged += 1
            target = self._folder / str(self.judged)
            survivor.write_to(target)
            try:
                self._judge(target)
            except Exception as error:  # noqa: BLE001 - whatever it is, this state was not right
                self.failures.append(
                    f"cut {self._changes}, after {what}, of which there is {survivor.how}: "
                    f"{type(error).__name__}: {error}"
                )
            else:
                rmtree(target)
