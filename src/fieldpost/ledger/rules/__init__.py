# SPDX-License-Identifier: Apache-2.0
"""The rules in force: one function for every kind of post (docs/spec/rules.md).

A new kind is a function in the file of its noun, and a line here. A change of what an existing
rule accepts is a new rule version, which a board takes by its record.
"""

from collections.abc import Mapping
from typing import Final

from fieldpost.ledger.context import Rule
from fieldpost.ledger.rules.board import decide_genesis
from fieldpost.ledger.rules.device_class import decide_class_set
from fieldpost.ledger.rules.lot import decide_lot_enrol
from fieldpost.ledger.rules.maker import decide_maker_register
from fieldpost.ledger.rules.release import decide_release_publish
from fieldpost.ledger.rules.rollout import decide_rollout_set

RULES: Final[Mapping[str, Rule]] = {
    "genesis": decide_genesis,
    "maker.register": decide_maker_register,
    "class.set": decide_class_set,
    "release.publish": decide_release_publish,
    "rollout.set": decide_rollout_set,
    "lot.enrol": decide_lot_enrol,
}
