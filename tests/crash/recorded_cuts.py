# SPDX-License-Identifier: Apache-2.0
"""Power cuts at the calls of a recorded process, each judged by a start in what it leaves.

    cuts = RecordedCuts(recorder, folder, judge, told=told)
    cuts.cut(count, chance=Random(seed))        after so many calls, under every survivor

`judge` is given a directory and the count, and raises if it is not right. `told` says how much had
been promised to anybody by then: a state that was judged under the same promises is not judged
again.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from shutil import rmtree

from fieldpost.testing.survivors import Survivor, survivors_of
from tests.crash.recording import Recorder


class RecordedCuts:
    """`judged` counts states, `failures` tells those that were not right."""

    def __init__(
        self,
        recorder: Recorder,
        folder: Path,
        judge: Callable[[Path, int], None],
        *,
        told: Callable[[int], int],
        forget: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.judged = 0
        self.failures: list[str] = []
        self.calls = recorder.calls()
        self.replay = recorder.replay(forget=forget)
        self._folder = folder
        self._judge = judge
        self._told = told
        self._seen: set[tuple[bytes, int]] = set()

    def cut_some(self, share: int, *, chance: Random, most: int) -> None:
        """Cuts at every answer, and at one of `share` other calls, until something is lost."""
        for count, call in enumerate(self.calls, 1):
            if call.what == "a" or chance.randrange(share) == 0:
                self.cut(count, chance=chance, most=most)
            if self.failures:
                return

    def cut(self, count: int, *, chance: Random, most: int | None = None) -> None:
        """Judge what a cut after so many calls may leave: all of it, or `most` drawn from it."""
        self.replay.go_to(count)
        found = list(survivors_of(self.replay.tree, chance=chance, by_lot=2))
        if most is not None and len(found) > most:
            # The first is the worst for what was answered: nothing that was not fsynced.
            found = [found[0], *chance.sample(found[1:], most - 1)]
        for survivor in found:
            state = survivor.digest, self._told(count)
            if state not in self._seen:
                self._seen.add(state)
                self._start_in(survivor, count)

    def _start_in(self, survivor: Survivor, count: int) -> None:
        self.judged += 1
        left = self._folder / str(self.judged)
        survivor.write_to(left)
        try:
            self._judge(left, count)
        except Exception as error:  # noqa: BLE001 - whatever it is, this state was not right
            last = self.calls[count - 1]
            self.failures.append(
                f"cut {count}, after {last.what!r} {last.first[:80]!r}, of which there is "
                f"{survivor.how}: {type(error).__name__}: {error}"
            )
        else:
            rmtree(left)
