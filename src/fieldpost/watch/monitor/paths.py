# SPDX-License-Identifier: Apache-2.0
"""Paths by which alarms leave a monitor: lines on standard output, webhooks, e-mail.

A path takes several alarms at once or one by one, as suits it, and says no by raising: Unavailable
means later, any other FieldpostError that it refuses this alarm.
"""

import json
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from fieldpost.errors import Unavailable
from fieldpost.watch.monitor.alarm import Alarm

AT_ONCE: Final = 100


class AlarmPath(Protocol):
    """One way out. `name` is told in messages and kept with what waits, so it must stay the same;
    `most` is how many alarms it takes at once."""

    name: str
    most: int

    def send(self, alarms: Sequence[Alarm]) -> None:
        """Hand alarms over. When it returns, whoever is at the other end has them."""
        ...


class Lines:
    """One JSON object a line, on a stream."""

    name = "lines"
    most = AT_ONCE

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def send(self, alarms: Sequence[Alarm]) -> None:
        """Print the alarms. Raises Unavailable if nobody reads."""
        try:
            for alarm in alarms:
                self._stream.write(json.dumps({"event": "alarm"} | alarm.value()) + "\n")
            self._stream.flush()
        except OSError as error:
            raise Unavailable(f"standard output: {error.strerror}") from error
