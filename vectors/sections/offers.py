# SPDX-License-Identifier: Apache-2.0
"""Which offer a device takes: head, device id, lot, running sequence and T in, a sequence out."""

from hashlib import sha256
from typing import Any

from fieldpost.records.head import Conditions, Head, Offer, cohort_draw

DEVICE = sha256(b"device 1").digest()
LOT, OTHER_LOT = b"\x01" * 16, b"\x02" * 16
SALT = bytes(range(8))
DRAW = cohort_draw(SALT, DEVICE)
T = 1_800_000_000


def _offer(sequence: int, threshold: int = 2**32, **changes: object) -> Offer:
    manifest = sha256(b"manifest %d" % sequence).digest()
    return Offer(
        sequence=sequence,
        manifest=manifest,
        threshold=threshold,
        salt=SALT,
        **changes,  # type: ignore[arg-type]
    )


_Case = tuple[str, tuple[Offer, ...], dict[str, Any], int | None]
CASES: list[_Case] = [
    ("nothing is offered", (), {}, None),
    ("one full offer", (_offer(10),), {}, 10),
    ("the device runs it already", (_offer(10),), {"running": 10}, None),
    ("the device runs a newer one", (_offer(10),), {"running": 11}, None),
    ("threshold = draw: not in the cohort", (_offer(11, DRAW), _offer(10)), {}, 10),
    ("threshold = draw + 1: in the cohort", (_offer(11, DRAW + 1), _offer(10)), {}, 11),
    ("halted: threshold 0", (_offer(11, 0), _offer(10)), {}, 10),
    ("the base offer while 11 is at 1 %", (_offer(11, 42_949_673), _offer(10)), {}, 10),
    ("not before T + 1", (_offer(11, not_before=T + 1), _offer(10)), {}, 10),
    ("not before T", (_offer(11, not_before=T), _offer(10)), {}, 11),
    ("for another lot", (_offer(11, lots=(OTHER_LOT,)), _offer(10)), {}, 10),
    ("for my lot among others", (_offer(11, lots=(OTHER_LOT, LOT)),), {}, 11),
    ("for a lot, and the device knows none", (_offer(11, lots=(LOT,)),), {"lot": None}, None),
    ("running below the range", (_offer(11, from_range=(9, 10)),), {"running": 8}, None),
    ("running at its beginning", (_offer(11, from_range=(9, 10)),), {"running": 9}, 11),
    ("running at its end", (_offer(11, from_range=(9, 10)),), {"running": 10}, 11),
    ("a stepping stone", (_offer(20, from_range=(15, 19)), _offer(15, from_range=(0, 14))), {}, 15),
    (
        "conditions never change the choice",
        (_offer(11, conditions=Conditions(urgency=0, battery_percent=100)),),
        {},
        11,
    ),
]


def make() -> dict[str, Any]:
    """The file's content."""
    cases = []
    for name, offers, changes, chosen in CASES:
        head = Head(
            change_count=3, offers=offers, interval_s=3_600, maker_epoch=0, maker_link=bytes(32)
        )
        given = {"running": 9, "lot": LOT, **changes}
        lot = given["lot"]
        cases.append(
            {
                "name": name,
                "head": head.encode().hex(),
                "device": DEVICE.hex(),
                "lot": lot.hex() if isinstance(lot, bytes) else None,
                "running": given["running"],
                "t": T,
                "sequence": chosen,
            }
        )
    return {
        "about": f"What a device takes (sequence null: nothing). Its draw is {DRAW}.",
        "spec": "docs/spec/check-in.md",
        "cases": cases,
    }
