# SPDX-License-Identifier: Apache-2.0
"""What a device keeps of a split view: two heads as notes, for anybody (docs/spec/evidence.md).

A device holds no chain of links, so the file carries none; whoever judges it takes them from any
node, because they prove themselves.
"""

from fieldpost.checkin.belief import Belief
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.evidence import SPLIT_VIEW, make_evidence, note_of_bundle
from fieldpost.errors import Malformed, Misbehaviour
from fieldpost.records.identifiers import origin_of
from fieldpost.records.limits import MAX_PROOF_BYTES


def evidence_file(found: Misbehaviour, belief: Belief) -> bytes | None:
    """The file, by the cosigners that the device knows; None for what is no split view of two
    bundles under their keys."""
    if found.reason != SPLIT_VIEW or len(found.evidence) != 2 or not belief.board_record:
        return None
    operators = belief.board_view().operators
    keys = [key for operator in operators for key in operator.cosigner_keys]
    keys += belief.policy.witnesses
    try:
        first, second = (
            note_of_bundle(
                decode_bundle(data, most_bytes=MAX_PROOF_BYTES),
                origin=origin_of(belief.board),
                keys=dict.fromkeys(keys),
            )
            for data in found.evidence
        )
        return make_evidence(belief.board, (first, second), links=()).encode()
    except Malformed:
        return None
