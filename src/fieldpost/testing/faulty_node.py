# SPDX-License-Identifier: Apache-2.0
"""A node's program with a fault in it, to show what the other operators make of it.

    python -m fieldpost.testing.faulty_node --fault other-root=5 node run --config FILE

`--fault` may be repeated; what follows is a command line of `fieldpost`.

    other-root=N      the N-th block with posts, and all after it, get another result here: what a
                      build does that does not compute what the others compute
    die-decided=N     killed between FinalizeBlock and Commit of the N-th block with posts
    die-appended=N    killed in its Commit, with the entries in the log and no state of them
    clock=S           the clock is S seconds ahead (S < 0: behind)
    comet-clock=S     CometBFT's clock is S seconds ahead (Linux on x86-64)
    withhold=N        its first N proposals of blocks carry none of the posts that wait
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from fieldpost.cli.main import main as run_cli
from fieldpost.engines.cometbft import replica
from fieldpost.engines.cometbft.application import Application
from fieldpost.engines.cometbft.messages import PrepareResponse
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.replica import Decided, Replica
from fieldpost.ledger.batch import apply_batch
from fieldpost.testing import wrong_clock

MODULE: Final = "fieldpost.testing.faulty_node"


def other_root(first: int) -> None:
    """Apply batches at a time of its own."""
    true, seen = apply_batch, 0

    def apply(state: Any, posts: Sequence[bytes], *, time: int, **named: Any) -> Any:
        nonlocal seen
        seen += bool(posts)
        return true(state, posts, time=time + (seen >= first), **named)

    setattr(replica, "apply_batch", apply)  # noqa: B010 - a name that it does not export


def die_decided(last: int) -> None:
    """End where a block is decided and nothing of it written."""
    _before("commit", last)


def die_appended(last: int) -> None:
    """End where the log has a block's entries and the state does not."""
    true = Replica._append  # noqa: SLF001 - a moment between two writes has no public name

    def append(self: Replica, entries: Sequence[bytes]) -> None:
        true(self, entries)
        _die()

    def arm(*_: Any) -> None:
        Replica._append = append  # type: ignore[method-assign]  # noqa: SLF001

    _before("commit", last, then=arm)


def set_clock(seconds: int) -> None:
    """Let every clock of this program be wrong."""
    true = time.time  # noqa: TID251 - the clock itself is what is wrong here
    setattr(time, "time", lambda: true() + seconds)  # noqa: B010 - nor may it be named again


def set_comet_clock(seconds: int) -> None:
    """Let CometBFT be told a wrong time of day, whatever its program."""
    true = CometProcess.__init__

    def init(self: CometProcess, *words: Any, **named: Any) -> None:
        true(self, *words, **named)
        skewed = [sys.executable, "-I", "-S", wrong_clock.__file__, str(seconds)]
        self._command = [*skewed, *self._command]

    setattr(CometProcess, "__init__", init)  # noqa: B010 - a method, replaced


def withhold(count: int) -> None:
    """Propose empty blocks."""
    true, seen = Application._prepare, 0  # noqa: SLF001 - what CometBFT asks for has no public name

    def prepare(self: Application, request: Any) -> Any:
        nonlocal seen
        seen += bool(request.txs)
        if seen > count or not request.txs:
            return true(self, request)
        sys.stderr.write(f"withheld {len(request.txs)} transactions\n")
        return PrepareResponse(txs=())

    setattr(Application, "_prepare", prepare)  # noqa: B010 - as above


FAULTS: Final[dict[str, Callable[[int], None]]] = {
    "other-root": other_root,
    "die-decided": die_decided,
    "die-appended": die_appended,
    "clock": set_clock,
    "comet-clock": set_comet_clock,
    "withhold": withhold,
}


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before(name: str, count: int, *, then: Callable[..., None] = _die) -> None:
    """Call `then` before the `count`-th call of a replica's method for a block with posts."""
    true, seen = getattr(Replica, name), 0

    def call(self: Replica, decided: Decided, *rest: Any, **named: Any) -> Any:
        nonlocal seen
        seen += bool(decided.batch.entries)
        if seen == count and decided.batch.entries:
            then()
        return true(self, decided, *rest, **named)

    setattr(Replica, name, call)


def main() -> None:
    """Put the named faults in and run the rest of the command line."""
    words = sys.argv[1:]
    while words[:1] == ["--fault"]:
        name, _, number = words[1].partition("=")
        FAULTS[name](int(number))
        words = words[2:]
    sys.argv = ["fieldpost", *words]
    run_cli()


if __name__ == "__main__":
    main()
