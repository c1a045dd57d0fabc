# SPDX-License-Identifier: Apache-2.0
"""`make mutants`: each fsync of `durable` is left out in turn, and somebody must notice.

The laws of `durable` notice every one, which `make test` holds us to. Here whole lives of a node,
a device, slots behind commands and a maker's home run without it too, to tell which of the
fsyncs they lean on. Ends with status 1 if an fsync is missed by nobody.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.forgetful import ForgetfulDisk, Site, fsync_sites
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.power_cuts import PowerCuts
from tests.crash.device_line import NEW, Clock, judge_update, live, set_up, with_offers
from tests.crash.durable_laws import LAWS, broken
from tests.crash.maker_line import MakerLine
from tests.crash.node_line import NodeLine, judge
from tests.crash.test_exec_slot_power_cuts import cut_updates
from tests.crash.test_maker_power_cuts import cut_lives
from tests.e2e.maker_cli import running_node


def laws_notice(site: Site, folder: Path) -> bool:
    """Whether a promise of `durable` is broken."""
    found: list[str] = []
    for number, law in enumerate(LAWS):
        own = folder / str(number)
        own.mkdir()
        found += broken(law, own, lambda root: ForgetfulDisk(root, site))
    return bool(found)


def node_notices(site: Site, folder: Path) -> bool:
    """Whether a node loses something, from its first start to an upload."""
    data = folder / "data"
    data.mkdir()
    disk = ForgetfulDisk(data, site)
    line = NodeLine(data, disk)

    def look(left: Path) -> None:
        for _ in judge(line, left):
            pass

    cuts = PowerCuts(disk, folder, look, chance=Random(1), by_lot=1)
    for step in (
        line.create,
        line.start,
        lambda: line.post(line.world.maker.registration()),
        lambda: line.upload(bytes(5_000)),
        lambda: line.save_manifest(b"an envelope"),
    ):
        step()
        cuts.promise()
    line.stop()
    return bool(cuts.failures)


def device_notices(site: Site, folder: Path) -> bool:
    """Whether a device does not get through an update any more."""
    root = folder / "device"
    with PaperNode(PaperBoard()) as node:
        with_offers(node)
        set_up(root, node)
        clock, least = Clock(node.board.time), {"running": 1, "size": 0}
        disk = ForgetfulDisk(root, site)

        def look(left: Path) -> None:
            judge_update(left, node, time=clock.now, new=(NEW,), least=least)

        cuts = PowerCuts(disk, folder, look, chance=Random(1), by_lot=1)
        live(root, clock, disk)
        least["running"] = 2
        cuts.promise()
    return bool(cuts.failures)


def commands_notice(site: Site, folder: Path) -> bool:
    """Whether an update through commands ends with an image that nobody confirmed."""
    return bool(cut_updates(folder, ForgetfulDisk, site=site).failures)


def maker_notices(site: Site, folder: Path) -> bool:
    """Whether a maker loses a key that the board knows, a post that it has, or half a ceremony."""
    with running_node(folder / "node") as url:
        line = MakerLine(folder / "home", url)
        return bool(cut_lives(line, folder, lambda root: ForgetfulDisk(root, site)).failures)


JUDGES: dict[str, Callable[[Site, Path], bool]] = {
    "laws": laws_notice,
    "node": node_notices,
    "device": device_notices,
    "commands": commands_notice,
    "maker": maker_notices,
}


def main() -> None:
    """One line for each fsync: who notices that it is gone."""
    argparse.ArgumentParser(prog="make mutants", description=__doc__).parse_args()
    missed = 0
    for site in fsync_sites():
        noticed: list[str] = []
        for name, notices in JUDGES.items():
            with TemporaryDirectory(prefix="fieldpost-mutant-") as folder:
                if notices(site, Path(folder)):
                    noticed.append(name)
        missed += not noticed
        sys.stdout.write(f"{site!s:42} {', '.join(noticed) or 'NOBODY NOTICES'}\n")
        sys.stdout.flush()
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
