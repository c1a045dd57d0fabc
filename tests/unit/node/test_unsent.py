# SPDX-License-Identifier: Apache-2.0
"""What waits for slow readers: who must leave when it is too much, and how long pieces are."""

import pytest

from fieldpost.node.clients import OWN
from fieldpost.node.config import LEAST_UNSENT_BYTES_EACH, MIB, Limits
from fieldpost.node.setting import WrongSetting
from fieldpost.node.unsent import CALM_BYTES, Unsent

KIB = 1024


class Guest:
    """A connection, by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def leave(self) -> None:
        raise AssertionError("whoever keeps count of bytes ends nobody itself")


def names(leaving: object) -> list[str]:
    assert isinstance(leaving, list)
    return [guest.name for guest in leaving]


def room(connections: int = 16) -> Unsent:
    return Unsent(Limits(unsent_bytes=MIB, connections=connections))


def test_the_client_who_holds_most_loses_what_waited_longest() -> None:
    unsent, honest = room(), Guest("honest")
    assert unsent.hold(honest, "a", 300 * KIB) == []
    for number in range(4):
        assert unsent.hold(Guest(f"greedy {number}"), "b", 150 * KIB) == []
    assert names(unsent.hold(Guest("greedy 4"), "b", 150 * KIB)) == ["greedy 0"]
    assert names(unsent.hold(Guest("newcomer"), "c", 200 * KIB)) == ["greedy 1"]
    assert unsent.ended == 2
    assert unsent.bytes_held <= MIB


def test_as_many_leave_as_are_needed_and_an_answer_alone_stays() -> None:
    unsent = room()
    assert unsent.hold(Guest("alone"), "a", 9 * MIB) == []
    small = [Guest(f"{number}") for number in range(3)]
    assert names(unsent.hold(small[0], "b", KIB)) == ["alone"]
    for guest in small[1:]:
        assert unsent.hold(guest, "b", KIB) == []
    assert names(unsent.hold(Guest("next"), "b", MIB)) == ["0", "1", "2"]
    assert unsent.bytes_held == MIB


def test_each_connection_of_a_proxy_is_a_client_of_its_own() -> None:
    unsent = room()
    for number in range(8):
        assert unsent.hold(Guest(f"proxied {number}"), OWN, 64 * KIB) == []
    for number in range(2):
        assert unsent.hold(Guest(f"greedy {number}"), "b", 256 * KIB) == []
    assert names(unsent.hold(Guest("proxied 8"), OWN, 64 * KIB)) == ["greedy 0"]


def test_what_was_taken_is_free_again_and_nobody_is_counted_twice() -> None:
    unsent = room()
    guest = Guest("one")
    for count in (300, 500, 700):
        assert unsent.hold(guest, "a", count) == []
        assert unsent.bytes_held == count
    other = Guest("two")
    unsent.hold(other, "a", 5)
    for _ in range(2):
        unsent.release(guest)
        assert unsent.bytes_held == 5
    unsent.release(other)
    assert unsent.bytes_held == 0
    assert unsent._of_client == {}


def length(unsent: Unsent, usual: int) -> int:
    with unsent.piece(usual) as count:
        return count


@pytest.mark.parametrize(("connections", "short"), [(16, 16 * KIB), (8, 48 * KIB)])
def test_pieces_are_short_when_half_of_the_room_is_taken(connections: int, short: int) -> None:
    unsent, usual = room(connections), 256 * KIB
    assert length(unsent, usual) == usual
    unsent.hold(Guest("slow"), "a", 256 * KIB)
    assert length(unsent, usual) == usual
    with unsent.piece(1):
        assert length(unsent, usual) == short, "what is being read will wait too"
    unsent.hold(Guest("slow too"), "a", 1)
    assert length(unsent, usual) == short
    assert length(unsent, 100) == 100, "what is short already stays whole"


@pytest.mark.parametrize("connections", [16, 4_096, 999_999])
def test_half_of_the_room_is_enough_for_every_connection_or_the_settings_are_refused(
    connections: int,
) -> None:
    least = LEAST_UNSENT_BYTES_EACH * connections
    unsent = Unsent(Limits(unsent_bytes=least, connections=connections))
    unsent.hold(Guest("slow"), "a", least // 2)
    short = length(unsent, MIB)
    assert short >= CALM_BYTES
    assert connections * (CALM_BYTES + short) <= least // 2
    advice = f"raise it to {least + LEAST_UNSENT_BYTES_EACH}, or lower .* to {connections}$"
    with pytest.raises(WrongSetting, match=advice) as refused:
        Limits(unsent_bytes=least, connections=connections + 1)
    assert refused.value.names == ("limits.unsent_bytes", "limits.connections")
