# SPDX-License-Identifier: Apache-2.0
"""What an agent remembers comes back as it was, or not at all."""

from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.agent.memory import (
    Failed,
    Membership,
    Memory,
    Staged,
    Told,
    decode_memory,
    load_memory,
    save_memory,
)
from fieldpost.agent.postponement import Pending
from fieldpost.agent.states import State
from fieldpost.checkin.belief import believe
from fieldpost.errors import Malformed, Misconfigured, Unavailable
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.images import image_of

BELIEF, _ = believe(PaperBoard().provisioning())
EMPTY = Memory(belief=BELIEF, running=0)
FULL = Memory(
    belief=BELIEF,
    running=9,
    state=State.TRIAL,
    staged=Staged(
        sequence=10,
        version="1.10",
        manifest=b"m" * 32,
        images=(image_of(b"a"), image_of(b"b", (b"radio", b"\x01"))),
        change_count=4,
        offline=True,
    ),
    failed=(Failed(b"f" * 32, 3, 2),),
    boot_count=7,
    lot=Membership(b"l" * 16, 3, 20, b"leaf", (b"h" * 32, b"i" * 32)),
    told=Told(outcome=Outcome.REVERTED, reason="it was sick", sequence=10, digests=(b"d" * 32,)),
    reason="it was sick",
    lost_trials=1,
    install_after=1_800_000_000,
    saved_at=1_700_000_000,
    isolated_s=86_400,
    isolation_saved_at=1_700_000_000,
    pending=Pending(
        manifest=b"m" * 32, sequence=10, seen_at=1_700_000_000, may_s=60, until=1_700_000_060
    ),
)

# Absent where they say nothing.
OPTIONAL = {14, 15, 16}


@pytest.mark.parametrize("memory", [EMPTY, FULL], ids=["empty", "full"])
def test_memory_survives_its_own_encoding(memory: Memory) -> None:
    assert decode_memory(memory.encode()) == memory


def test_what_is_no_memory_is_malformed() -> None:
    good = cbor.decode(FULL.encode())
    assert isinstance(good, dict)
    for label in good:
        broken = {**good, label: "nonsense" if label != 10 else 1}
        with pytest.raises(Malformed):
            decode_memory(cbor.encode(broken))
        if label in OPTIONAL:
            continue
        with pytest.raises(Malformed):
            decode_memory(cbor.encode({key: item for key, item in good.items() if key != label}))


def test_a_device_that_is_not_set_up_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="agent enrol"):
        load_memory(tmp_path / "memory.cbor")


@pytest.mark.crash
def test_a_power_cut_while_saving_leaves_the_memory_before_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "memory.cbor"
    counting = FaultyDisk()
    save_memory(path, EMPTY, disk=counting)
    for cut in range(len(counting.calls)):
        save_memory(path, EMPTY)
        with pytest.raises(PowerCut):
            save_memory(path, FULL, disk=FaultyDisk(fail_at=cut, power_cut=True))
        assert load_memory(path) in (EMPTY, FULL)


def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.cbor"
    save_memory(path, EMPTY)
    with pytest.raises(Unavailable):
        save_memory(path, FULL, disk=FaultyDisk(fail_at=1))
    assert load_memory(path) == EMPTY


def test_failures_count_until_the_heads_change_count_moves() -> None:
    memory = EMPTY
    for tries in (1, 2, 3):
        memory = memory.with_failure(b"m" * 32, 5)
        assert memory.tries(b"m" * 32, 5) == tries
    assert memory.tries(b"m" * 32, 6) == 0
    assert memory.tries(b"o" * 32, 5) == 0
    assert memory.with_failure(b"m" * 32, 6).failed == (Failed(b"m" * 32, 6, 1),)


def test_only_the_latest_failed_releases_are_remembered() -> None:
    memory = replace(EMPTY)
    for number in range(20):
        memory = memory.with_failure(bytes([number]) * 32, 1)
    assert len(memory.failed) == 8
    assert memory.tries(bytes([19]) * 32, 1) == 1
