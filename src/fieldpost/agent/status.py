# SPDX-License-Identifier: Apache-2.0
"""What `agent status` tells: read from the disk alone, beside a running agent or without one."""

from typing import NoReturn

from fieldpost.agent.config import load_config
from fieldpost.agent.enrolment import load_device_key
from fieldpost.agent.home import Home
from fieldpost.agent.memory import load_memory
from fieldpost.agent.slots.base import name_of
from fieldpost.agent.slots.choice import make_slots
from fieldpost.agent.states import State
from fieldpost.identity.leaf import format_device_id


def read_status(home: Home) -> dict[str, object]:
    """Facts for people and scripts. Raises Misconfigured if no device is set up in `home`.

    `size`, `root` and `time` are what was last saved: at most a day old, for the flash's sake.
    """

    def never() -> NoReturn:
        raise AssertionError("looking boots nothing")

    memory = load_memory(home.memory)
    _, provisioning = home.load_provisioning()
    device = load_device_key(home.key).public_key.thumbprint()
    config = load_config(home.config, channels=provisioning.channels)
    slots = make_slots(home.slots, config.commands, boot=never)
    running = slots.running()
    belief = memory.belief
    board = belief.board_view() if belief.board_record else None
    told = memory.told
    staged = memory.staged if memory.state is not State.IDLE else None
    pending = memory.pending
    waiting = pending if pending and pending.sequence > memory.running else None
    return {
        "device": format_device_id(device),
        "device_id": device.hex(),
        "class": provisioning.class_id.hex(),
        "board": belief.board,
        "solo": board.is_solo if board else None,
        "enrolled": memory.lot is not None,
        "lot": memory.lot.lot.hex() if memory.lot else None,
        "state": str(memory.state),
        "slot": slots.environment()["FIELDPOST_SLOT"] or None,
        "sequence": memory.running,
        "version": running.version if running else None,
        "digest": running.images[0].digest.hex() if running else None,
        "components": [
            {"component": name_of(image.id), "bytes": image.size, "digest": image.digest.hex()}
            for image in running.images
        ]
        if running and len(running.images) > 1
        else None,
        "installing": staged.sequence if staged else None,
        "size": belief.size,
        "root": belief.root.hex() if belief.root else None,
        "time": belief.timestamp or None,
        "pending": waiting.sequence if waiting else None,
        "put_off_until": waiting.until if waiting else None,
        "isolated_s": memory.isolated_s or None,
        "last_reason": memory.reason or None,
        "boot_count": memory.boot_count,
        "failed": [{"manifest": f.manifest.hex(), "tries": f.tries} for f in memory.failed],
        "reports": (
            "nothing waits" if told is None else f"waiting: {told.outcome} {told.sequence}"
        ),
    }
