# SPDX-License-Identifier: Apache-2.0
"""The project's own vectors of check-ins: offers, chains, bundles, provisioning."""

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.chains import Tip, follow_board_links, follow_maker_links
from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.offline_bundle import read_offline_bundle
from fieldpost.checkin.older import verify_older
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.checkin.went_back import decode_went_back, verify_went_back
from fieldpost.errors import FieldpostError, Misbehaviour
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.watch.state_evidence import decode_state_evidence, verify_state_evidence
from tests.vectors.own_vectors import Case, cases, load, many, octets, optional, reason_of

FIELDS = ("board_record", "board_link", "maker_record", "maker_link", "size", "timestamp", "root")


@cases("offers", "cases")
def test_offers(case: Case) -> None:
    chosen = choose_offer(
        decode_head(octets(case["head"])),
        running=case["running"],
        device=octets(case["device"]),
        lot=optional(case["lot"]),
        timestamp=case["t"],
    )
    assert (None if chosen is None else chosen.sequence) == case["sequence"]


@cases("chains", "board", "cases")
def test_board_chains(case: Case) -> None:
    chain = load("chains")["board"]

    def follow() -> None:
        before = Tip(octets(chain["record"]), octets(chain["link"]))
        after = follow_board_links(
            before, many(case["entries"]), until=octets(case["until"]), board=chain["board"]
        )
        assert after == Tip(octets(case["after"]), octets(case["until"]))

    assert reason_of(follow) == case["reason"]


@cases("chains", "maker", "cases")
def test_maker_chains(case: Case) -> None:
    chain = load("chains")["maker"]

    def follow() -> None:
        before = Tip(octets(chain["record"]), octets(chain["link"]))
        after = follow_maker_links(
            before, many(case["entries"]), until=octets(case["until"]), maker=octets(chain["maker"])
        )
        assert after == Tip(octets(case["after"]), octets(case["until"]))

    assert reason_of(follow) == case["reason"]


def belief_of(fields: Case) -> Belief:
    return Belief(
        board=fields["board"],
        board_record=octets(fields["board_record"]),
        board_link=octets(fields["board_link"]),
        maker=octets(fields["maker"]),
        maker_record=octets(fields["maker_record"]),
        maker_link=octets(fields["maker_link"]),
        size=fields["size"],
        root=optional(fields["root"]),
        timestamp=fields["timestamp"],
        bundle=None,
    )


def verify(case: Case) -> Verified:
    return verify_bundle(
        belief_of(case["before"]),
        octets(case["bundle"]),
        key=octets(case["key"]),
        now=case["now"],
        least_time=case["least_time"],
        head=case["head"],
        board_links=many(case["board_links"]),
        maker_links=many(case["maker_links"]),
        most_bytes=MAX_PROOF_BYTES,
    )


@cases("check-in", "cases")
def test_check_ins(case: Case) -> None:
    assert reason_of(lambda: verify(case)) == case["reason"]
    if case["reason"] is None:
        verified, after = verify(case), case["after"]
        expected = belief_of(after)
        for name in FIELDS:
            assert getattr(verified.belief, name) == getattr(expected, name), name
        assert verified.belief.board == after["board"]
        assert verified.value == optional(after["value"])
        assert (verified.timestamp, verified.stale) == (after["t"], after["stale"])
        assert (verified.moved, verified.moved_board) == (after["moved"], after["moved_board"])


def test_what_is_not_newer_is_genuine_only_where_a_quorum_signed_it() -> None:
    found = set()
    for case in load("check-in")["cases"]:
        if case["reason"] != "not-newer":
            continue

        def verify_anyway(case: Case = case) -> None:
            verify_older(
                belief_of(case["before"]),
                octets(case["bundle"]),
                key=octets(case["key"]),
                now=case["now"],
                least_time=case["least_time"],
                most_bytes=MAX_PROOF_BYTES,
            )

        assert (reason_of(verify_anyway) is None) == case["genuine"], case["name"]
        found.add(case["genuine"])
    assert found == {True, False}


@cases("offline", "files")
def test_offline_updates(case: Case) -> None:
    data = octets(case["hex"])

    def read() -> None:
        update = read_offline_bundle(lambda at, count: data[at : at + count], len(data))
        spans = [[span.offset, span.size] for span in update.artifacts]
        assert spans == case["artifacts"]

    assert reason_of(read) == case["reason"]


@cases("evidence", "files")
def test_evidence(case: Case) -> None:
    def verify() -> None:
        proven = verify_evidence(decode_evidence(octets(case["hex"])))
        assert sorted(signer.key.name for signer in proven.authors) == sorted(case["authors"])

    assert reason_of(verify) == case["reason"]


@cases("state-evidence", "files")
def test_state_evidence(case: Case) -> None:
    before = [octets(entry) for entry in load("state-evidence")["before"]]

    def verify() -> None:
        proven = verify_state_evidence(decode_state_evidence(octets(case["hex"])), before)
        assert sorted(signer.key.name for signer in proven.authors) == sorted(case["authors"])

    assert reason_of(verify) == case["reason"]


@cases("going-back", "files")
def test_evidence_of_going_back(case: Case) -> None:
    def verify() -> None:
        proven = verify_went_back(decode_went_back(octets(case["hex"])))
        assert sorted(signer.key.name for signer in proven.authors) == sorted(case["authors"])

    assert reason_of(verify) == case["reason"]


def test_only_signed_contradictions_are_misbehaviour() -> None:
    """What anybody can send without a key is never an alarm."""
    alarms = set()
    for case in load("check-in")["cases"]:
        try:
            verify(case)
        except Misbehaviour as error:
            alarms.add(error.reason)
        except FieldpostError:
            continue
    assert alarms == {"split-view", "maker-fork"}


def test_the_provisioning_record_is_believed() -> None:
    provisioning = load("check-in")["provisioning"]
    belief, _ = believe(octets(provisioning["entry"]))
    assert belief == belief_of(provisioning["believed"])
