# SPDX-License-Identifier: Apache-2.0
"""What a monitor reads that people and other programs wrote."""

import json
from typing import Final

from fieldpost.watch.monitor.alarm import Alarm

MONITOR_FAMILIES: Final = {
    "expectations": lambda: [
        b'version = 1\nboard = "b.test/1#'
        + b"0" * 32
        + b'"\n[[maker]]\nid = "'
        + b"1" * 32
        + b'"\n'
        b'hours = ["07:00-19:00"]\ndays = ["mon"]\n[[maker.rollout]]\npercent = 1.5\n'
    ],
    "alarm": lambda: [json.dumps(Alarm(kind="test", board="b", text="t", at=9).value()).encode()],
    "secret": lambda: [b"whsec_" + b"QUJDRA" * 6],
}
