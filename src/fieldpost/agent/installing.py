# SPDX-License-Identifier: Apache-2.0
"""From a plan to a whole release in the other slot: of each image the smallest form that can be
had, from the network or from a file, unpacked.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fieldpost.agent.config import Config
from fieldpost.agent.download import Pace, Stored, blob_urls, clean, download, unpack
from fieldpost.agent.home import Home
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.plan import Plan
from fieldpost.agent.slots.base import Image, Slots, Write
from fieldpost.agent.token_bucket import TokenBucket
from fieldpost.agent.world import World
from fieldpost.errors import FieldpostError, Untrusted

# obtain(form, the maker's places): a file that holds exactly this form
Obtain = Callable[[Stored, Sequence[str]], Path]


def install(plan: Plan, *, slots: Slots, home: Home, obtain: Obtain) -> None:
    """Obtain every image, from anywhere, and write them into the other slot: all or none.

    Raises Untrusted("wrong-bytes" | "wrong-digest") if what came was wrong, Unavailable; what
    arrived of a form is kept in `home` for the next time, and so are whole images in the slot.
    """

    def fill(image: Image, write: Write) -> None:
        _obtain_one(plan, image, write, home=home, obtain=obtain)
        # Several images need not lie on the disk twice at the same time.
        clean(home.downloads, disk=home.disk)

    if not slots.holds(plan.release):
        slots.install(plan.release, fill)
    clean(home.downloads, disk=home.disk)


def _obtain_one(plan: Plan, image: Image, write: Write, *, home: Home, obtain: Obtain) -> None:
    failures: list[FieldpostError] = []
    for form in plan.forms[image]:
        try:
            path = obtain(form, plan.sources)
        except FieldpostError as failure:
            failures.append(failure)
            continue
        try:
            write(unpack(path, form.encoding, most_bytes=image.size))
        except FieldpostError as failure:
            # The stored bytes are those that were named, so fetching them again helps nobody.
            failures.append(failure)
            clean(home.downloads, disk=home.disk)
            continue
        return
    # A form that could not be had does not excuse one that was wrong.
    blamed = [failure for failure in failures if isinstance(failure, Untrusted)]
    raise (blamed or failures)[0]


def obtain_from_file(update: OfflineUpdate, home: Home) -> Obtain:
    """Forms come from the file of an offline update."""

    def obtain(form: Stored, _: Sequence[str]) -> Path:
        return update.copy(form, home.downloads, disk=home.disk)

    return obtain


def obtain_from_network(
    boards: Iterable[str], *, home: Home, config: Config, world: World
) -> Obtain:
    """Forms come from the maker's places or the board's nodes, no faster than the owner wants."""
    urls = tuple(boards)

    def obtain(form: Stored, sources: Sequence[str]) -> Path:
        return download(
            home.downloads,
            form,
            blob_urls(form, sources=sources, boards=urls),
            pace=_pace(config.bytes_per_s, world),
            disk=home.disk,
        )

    return obtain


def _pace(bytes_per_s: int, world: World) -> Pace | None:
    if not bytes_per_s:
        return None
    bucket = TokenBucket.full(bytes_per_s, now=world.uptime())
    return Pace(bucket=bucket, uptime=world.uptime, pause=world.pause)
