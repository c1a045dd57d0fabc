# SPDX-License-Identifier: Apache-2.0
"""What a command of the owner's says about battery and power.

It prints {"battery_percent": 0…100 or null, "external": true or false}, or nothing: then exit
status 0 means that there is power enough for any offer, and anything else that there is not.
"""

import json
from collections.abc import Sequence

from fieldpost.agent.commands import run_command
from fieldpost.agent.world import Power
from fieldpost.errors import Unavailable


def ask_power(command: Sequence[str], *, timeout_s: float) -> Power:
    """What `command` says. Raises Unavailable where it says nothing that can be understood."""
    ran = run_command(
        command, what="the power command", environment={}, timeout_s=timeout_s, listens=True
    )
    if ran.status:
        return Power(battery_percent=0, external=False)
    if not ran.output.strip():
        return Power()
    return parse_power(ran.output)


def parse_power(output: bytes) -> Power:
    """Read the JSON form. Raises Unavailable."""
    try:
        said = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise Unavailable("the power command prints no JSON") from error
    match said:
        case {"battery_percent": (None | int()) as percent, "external": bool(external)} if (
            percent is None or (type(percent) is int and 0 <= percent <= 100)
        ):
            return Power(percent, external)
        case _:
            raise Unavailable('the power command prints {"battery_percent": …, "external": …}')
