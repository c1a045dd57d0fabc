# SPDX-License-Identifier: Apache-2.0
"""From a plan to a whole image in the other slot: the smallest form that can be had, unpacked."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fieldpost.agent.download import Stored, clean, unpack
from fieldpost.agent.home import Home
from fieldpost.agent.plan import Plan
from fieldpost.agent.slots.base import Slots
from fieldpost.errors import FieldpostError, Untrusted

# obtain(form, the maker's places): a file that holds exactly this form
Obtain = Callable[[Stored, Sequence[str]], Path]


def install(plan: Plan, *, slots: Slots, home: Home, obtain: Obtain) -> None:
    """Obtain one form of the image, from anywhere, and write it into the other slot.

    Raises Untrusted("wrong-bytes" | "wrong-digest") if what came was wrong, Unavailable; what
    arrived of a form is kept in `home` for the next time.
    """
    failures: list[FieldpostError] = []
    for form in plan.forms:
        try:
            path = obtain(form, plan.sources)
        except FieldpostError as failure:
            failures.append(failure)
            continue
        try:
            slots.install(plan.image, unpack(path, form.encoding, most_bytes=plan.image.size))
        except FieldpostError as failure:
            # The stored bytes are those that were named, so fetching them again helps nobody.
            failures.append(failure)
            clean(home.downloads, disk=home.disk)
            continue
        return
    # A form that could not be had does not excuse one that was wrong.
    blamed = [failure for failure in failures if isinstance(failure, Untrusted)]
    raise (blamed or failures)[0]
