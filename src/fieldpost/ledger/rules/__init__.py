# SPDX-License-Identifier: Apache-2.0
"""The rules in force: one function for every kind of post (docs/spec/rules.md).

A new kind is a function in the file of its noun, and a line here. A change of what an existing
rule accepts is a new rule version, which a board takes by its record: old entries are replayed by
the rules that were in force then, so a version that a board ever used is never removed.
"""

from collections.abc import Mapping
from typing import Final

from fieldpost.ledger.context import Rule
from fieldpost.ledger.rules.advisory import decide_advisory_publish
from fieldpost.ledger.rules.blob import decide_blob_gone
from fieldpost.ledger.rules.board import decide_board_set, decide_genesis
from fieldpost.ledger.rules.device import decide_device_status
from fieldpost.ledger.rules.device_class import decide_class_set
from fieldpost.ledger.rules.fleet import decide_fleet_summary
from fieldpost.ledger.rules.lot import decide_lot_enrol
from fieldpost.ledger.rules.maker import (
    decide_maker_attest,
    decide_maker_register,
    decide_maker_set,
)
from fieldpost.ledger.rules.release import (
    decide_release_floor,
    decide_release_publish,
    decide_release_sign,
    decide_release_withdraw,
)
from fieldpost.ledger.rules.rollout import decide_rollout_set

Rules = Mapping[str, Rule]
Versions = Mapping[int, Rules]

RULES: Final[Rules] = {
    "genesis": decide_genesis,
    "board.set": decide_board_set,
    "maker.register": decide_maker_register,
    "maker.attest": decide_maker_attest,
    "maker.set": decide_maker_set,
    "class.set": decide_class_set,
    "release.publish": decide_release_publish,
    "release.floor": decide_release_floor,
    "release.sign": decide_release_sign,
    "release.withdraw": decide_release_withdraw,
    "rollout.set": decide_rollout_set,
    "advisory.publish": decide_advisory_publish,
    "lot.enrol": decide_lot_enrol,
    "device.status": decide_device_status,
    "fleet.summary": decide_fleet_summary,
    "blob.gone": decide_blob_gone,
}
VERSIONS: Final[Versions] = {1: RULES}
