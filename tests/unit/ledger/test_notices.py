# SPDX-License-Identifier: Apache-2.0
"""What is only said, not done: advisories, fleet summaries, and blobs that are gone."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.posts.blob import decode_blob_gone
from fieldpost.posts.envelope import decode_post, sign_post
from fieldpost.posts.fleet import Outcomes, decode_fleet_summary
from fieldpost.records import map_keys
from fieldpost.records.advisory import decode_advisory
from fieldpost.records.maker import Role
from fieldpost.testing.maker_posts import advisory_publish, fleet_summary, release_withdraw
from fieldpost.testing.operator_posts import BLOB, blob_gone
from fieldpost.testing.world import START, BoardWorld


def test_advisories_are_numbered_and_counted() -> None:
    world = BoardWorld.with_releases(1, 2)
    maker = world.maker
    class_id = maker.class_id("tracker")
    world.accept(advisory_publish(maker))
    world.accept(advisory_publish(maker, number=2, fixed_in=2, exploited=True, cves=()))
    assert world.value(map_keys.advisories(class_id)) == cbor.encode(2)
    second = world.value(map_keys.advisory(class_id, 2))
    assert second is not None
    advisory = decode_advisory(second)
    assert (advisory.fixed_in, advisory.exploited) == (2, True)
    assert [advisory.is_affected(sequence) for sequence in (1, 2)] == [True, False]


def test_an_advisory_is_revised_under_its_number() -> None:
    world = BoardWorld.with_releases(1, 2)
    maker = world.maker
    world.accept(advisory_publish(maker), advisory_publish(maker, number=2))
    world.accept(advisory_publish(maker, fixed_in=2))
    class_id = maker.class_id("tracker")
    first = world.value(map_keys.advisory(class_id, 1))
    assert first is not None
    assert decode_advisory(first).fixed_in == 2
    assert world.value(map_keys.advisories(class_id)) == cbor.encode(2)


def test_advisories_have_no_gaps() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(advisory_publish(world.maker, number=2)) == "advisory-number"


@pytest.mark.parametrize("changes", [{"affected": ((1, 3),)}, {"fixed_in": 3}])
def test_an_advisory_speaks_of_what_was_published(changes: dict[str, Any]) -> None:
    world = BoardWorld.with_releases(1, 2)
    assert world.refusal(advisory_publish(world.maker, **changes)) == "unknown-release"


def test_what_was_withdrawn_fixes_nothing() -> None:
    world = BoardWorld.with_releases(1, 2)
    world.accept(release_withdraw(world.maker, 2))
    assert world.refusal(advisory_publish(world.maker, fixed_in=2)) == "withdrawn"


@pytest.mark.parametrize(
    "changes",
    [
        {"cves": ("CVE-27-1",)},
        {"cves": ("CVE-2027-10001", "CVE-2027-10001")},
        {"affected": ()},
        {"affected": ((2, 1),)},
        {"affected": ((2, 2), (1, 1))},
        {"affected": ((1, 2), (2, 2))},
        {"affected": ((0, 1),)},
        {"affected": ((1, 2),), "fixed_in": 2},
        {"severity": 5},
        {"document_type": 3},
        {"document": bytes(31)},
        {"number": 0},
    ],
)
def test_an_advisory_that_contradicts_itself_is_malformed(changes: dict[str, Any]) -> None:
    world = BoardWorld.with_releases(1, 2)
    assert world.refusal(advisory_publish(world.maker, **changes)) == "malformed"


# --- fleet.summary ---


def test_a_summary_replaces_the_last_one() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    counts = {1: Outcomes(confirmed=10, failed=1, reverted=1)}
    world.accept(fleet_summary(maker, START - 100, START, outcomes=counts))
    world.accept(fleet_summary(maker, START, START + 60))
    value = world.value(map_keys.summary(maker.class_id("tracker")))
    assert value is not None
    summary = decode_fleet_summary(value)
    assert (summary.start, summary.end, summary.outcomes) == (START, START + 60, {})


def test_periods_follow_each_other_and_end_in_the_past() -> None:
    world = BoardWorld.with_releases(1)
    maker = world.maker
    world.accept(fleet_summary(maker, START - 100, START))
    assert world.refusal(fleet_summary(maker, START - 1, START + 60)) == "period"
    later = world.time + 1_000
    assert world.refusal(fleet_summary(maker, START, later + 1), time=later) == "period"
    world.accept(fleet_summary(maker, START, later), time=later)


def test_a_summary_counts_releases_that_exist() -> None:
    world = BoardWorld.with_releases(1)
    post = fleet_summary(world.maker, 1, 2, outcomes={2: Outcomes(1, 0, 0)})
    assert world.refusal(post) == "unknown-release"


def test_a_period_begins_before_it_ends() -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(fleet_summary(world.maker, 2, 2)) == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"root": bytes(31)},
        {"reports": -1},
        {"outcomes": {0: Outcomes(1, 0, 0)}},
        {"outcomes": {1: Outcomes(-1, 0, 0)}},
        {"outcomes": {1: Outcomes(True, False, False)}},
        {"outcomes": {n: Outcomes(1, 0, 0) for n in range(1, 66)}},
    ],
)
def test_a_summary_that_means_nothing_is_malformed(changes: dict[str, Any]) -> None:
    world = BoardWorld.with_releases(1)
    assert world.refusal(fleet_summary(world.maker, 1, 2, **changes)) == "malformed"


# --- blob.gone ---


def test_an_operator_says_that_it_serves_a_blob_no_more() -> None:
    world = BoardWorld(operators=2)
    second = world.operators[1]
    world.accept(blob_gone(world), blob_gone(world, operator=second, reason="disk lost"))
    value = world.value(map_keys.gone("operator1", BLOB))
    assert value is not None
    assert decode_blob_gone(value).reason == "disk lost"
    assert world.refusal(blob_gone(world)) == "taken"


def test_an_operator_speaks_for_itself_alone() -> None:
    world = BoardWorld(operators=2)
    first, second = world.operators
    by_other = blob_gone(world, operator=first, signers=[second.governance])
    assert world.refusal(by_other) == "unknown-key"
    assert world.refusal(blob_gone(world, signers=[first.log])) == "unknown-key"
    both = blob_gone(world, signers=[first.governance, second.governance])
    assert world.refusal(both) == "unknown-key"
    assert world.refusal(blob_gone(world, claims={"issuer": "somebody"})) == "wrong-issuer"
    assert world.refusal(blob_gone(world, claims={"subject": "00" * 32})) == "wrong-subject"
    assert world.refusal(blob_gone(world, nonce=2)) == "nonce"
    assert world.refusal(blob_gone(world, digest=bytes(31))) == "malformed"
    assert world.refusal(blob_gone(world, reason="")) == "malformed"
    spoilt = bytearray(blob_gone(world))
    spoilt[-1] ^= 1
    assert world.refusal(bytes(spoilt)) == "bad-signature"


# --- advisories and summaries are a maker's ---


def notices(world: BoardWorld, **changes: Any) -> list[bytes]:
    maker = world.maker
    return [advisory_publish(maker, **changes), fleet_summary(maker, 1, 2, **changes)]


def test_a_notice_is_signed_by_its_role() -> None:
    world = BoardWorld.with_releases(1)
    right = {"advisory.publish": Role.RELEASE, "fleet.summary": Role.ROLLOUT}
    for role in Role:
        for post in notices(world, signers=world.maker.keys[role][:1]):
            if right[decode_post(post).statement.kind] is not role:
                assert world.refusal(post) == "unknown-key"


def test_a_notice_is_taken_once_in_its_makers_name_about_its_class() -> None:
    world = BoardWorld.with_releases(1)
    for post in notices(world):
        world.accept(post)
        assert world.refusal(post) == "nonce"
    for post in notices(world, class_id=bytes(16)):
        assert world.refusal(post) == "unknown-class"
    for post, role in zip(notices(world), (Role.RELEASE, Role.ROLLOUT), strict=True):
        statement = decode_post(post).statement
        signers = world.maker.quorum(role)
        of_another = sign_post(replace(statement, issuer="operator0"), signers)
        elsewhere = sign_post(replace(statement, subject="elsewhere"), signers)
        assert world.refusal(of_another.encode()) == "wrong-issuer"
        assert world.refusal(elsewhere.encode()) == "wrong-subject"
