# SPDX-License-Identifier: Apache-2.0
"""A device counts only keys of the algorithms that it was provisioned to verify."""

import pytest

from fieldpost.agent.trust import believe_factory, judge_check_in
from fieldpost.checkin.verify import Verified
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records.device_class import DeviceLimits
from fieldpost.testing.bundles import PaperBoard


def test_a_record_signed_by_keys_that_its_devices_do_not_verify_is_refused() -> None:
    board = PaperBoard()
    only_p256 = DeviceLimits(algorithms=(Algorithm.ESP256,))
    with pytest.raises(Untrusted, match="provisioning-threshold"):
        believe_factory(board.provisioning(limits=only_p256))
    _, record = believe_factory(board.provisioning())
    assert Algorithm.ED25519 in record.limits.algorithms


def test_a_cosigner_of_an_algorithm_that_the_device_does_not_verify_is_a_stranger() -> None:
    board = PaperBoard()
    belief, record = believe_factory(board.provisioning())

    def judge(algorithms: tuple[Algorithm, ...]) -> Verified:
        return judge_check_in(
            belief,
            board.bundle(),
            class_id=record.class_id,
            channel="stable",
            now=None,
            least_time=0,
            algorithms=algorithms,
        )

    with pytest.raises(Untrusted, match="no-quorum"):
        judge((Algorithm.ESP256,))
    assert judge(record.limits.algorithms).head is not None
