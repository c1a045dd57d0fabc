# SPDX-License-Identifier: Apache-2.0
"""Who reads unknown labels how: the ledger refuses, devices skip or refuse, offer by offer."""

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records.board import decode_board_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from tests.unit.records import record_examples as examples
from tests.unit.records.record_examples import Place, changed

HEAD = examples.HEAD.encode()
RELEASE = examples.RELEASE_RECORD.encode()
NESTED = [
    ("operator", examples.BOARD_RECORD.encode(), decode_board_record, (4, 0)),
    ("witness", examples.BOARD_RECORD.encode(), decode_board_record, (5, 0)),
    ("limits", examples.BOARD_RECORD.encode(), decode_board_record, (8,)),
    ("root", examples.MAKER_RECORD.encode(), decode_maker_record, (4,)),
    ("role key", examples.MAKER_RECORD.encode(), decode_maker_record, (5, 4, 2, 0)),
    ("scope", examples.MAKER_RECORD.encode(), decode_maker_record, (5, 4, 2, 0, 2)),
    ("roles", examples.MAKER_RECORD.encode(), decode_maker_record, (5,)),
    ("policy", examples.MAKER_RECORD.encode(), decode_maker_record, (6,)),
    ("report", examples.MAKER_RECORD.encode(), decode_maker_record, (7,)),
    ("successor", examples.MAKER_RECORD.encode(), decode_maker_record, (9,)),
    ("limits", examples.PROVISIONING.encode(), decode_provisioning, (13,)),
]


@pytest.mark.parametrize(("name", "encoded", "read", "place"), NESTED)
def test_labels_of_nested_maps_are_judged_like_those_of_the_record(
    name: str, encoded: bytes, read: object, place: Place
) -> None:
    assert callable(read)
    critical = changed(encoded, (*place, 99), 1)
    advisory = changed(encoded, (*place, -99), 1)
    with pytest.raises(Untrusted, match="unsupported"):
        read(critical, Reading.DEVICE)
    assert read(advisory, Reading.DEVICE) == read(encoded, Reading.DEVICE)
    for longer in (critical, advisory):
        with pytest.raises(Malformed, match="unknown label"):
            read(longer, Reading.LEDGER)


@pytest.mark.parametrize("place", [(2, 0, 9), (2, 0, 7, 7)], ids=["offer", "conditions"])
def test_a_device_skips_an_offer_with_an_unknown_critical_label(place: Place) -> None:
    head = decode_head(changed(HEAD, place, b"from later"))
    assert [offer.sequence for offer in head.offers] == [10]
    assert head.change_count == examples.HEAD.change_count


@pytest.mark.parametrize("place", [(2, 0, -9), (2, 0, 7, -7)], ids=["offer", "conditions"])
def test_a_device_takes_an_offer_with_an_unknown_advisory_label(place: Place) -> None:
    assert decode_head(changed(HEAD, place, b"from later")) == examples.HEAD


def test_nothing_else_of_a_skipped_offer_is_judged() -> None:
    """A later version may have changed old labels too, so a device must not stumble over them."""
    head = cbor.decode(HEAD)
    assert isinstance(head, dict)
    odd = {1: "later", 9: 1}
    strange = cbor.encode(head | {2: [odd, examples.BASE_OFFER.value()]})
    assert decode_head(strange).offers == (examples.BASE_OFFER,)
    with pytest.raises(Malformed):
        decode_head(strange, Reading.LEDGER)
    without_the_label = cbor.encode(head | {2: [{1: "later"}, examples.BASE_OFFER.value()]})
    with pytest.raises(Malformed):
        decode_head(without_the_label)


def test_order_is_judged_among_the_offers_that_are_read() -> None:
    newer_last = {1: 12, 9: 1}
    head = changed(HEAD, (2,), [examples.BASE_OFFER.value(), newer_last])
    assert decode_head(head).offers == (examples.BASE_OFFER,)


def test_a_head_whose_offers_are_all_from_later_offers_nothing() -> None:
    assert decode_head(changed(HEAD, (2,), [{9: 1}])).offers == ()


def test_offers_stand_newest_first_each_sequence_once() -> None:
    new, base = examples.OFFER.value(), examples.BASE_OFFER.value()
    for offers in ([base, new], [base, base]):
        with pytest.raises(Malformed, match="newest first"):
            decode_head(changed(HEAD, (2,), offers))


LATER_ARTIFACTS = [
    pytest.param((7, 1, 3), 9, id="encoding"),
    pytest.param((7, 2, 5), 9, id="delta format"),
    pytest.param((7, 1, 9), 1, id="critical label"),
]


@pytest.mark.parametrize(("place", "new"), LATER_ARTIFACTS)
def test_a_device_skips_an_artifact_that_it_cannot_use(place: Place, new: int) -> None:
    release = changed(RELEASE, place, new)
    left = decode_release_record(release, Reading.DEVICE).artifacts
    gone = place[1]
    artifacts = examples.RELEASE_RECORD.artifacts
    assert left == tuple(item for n, item in enumerate(artifacts) if n != gone)
    with pytest.raises(Malformed):
        decode_release_record(release, Reading.LEDGER)


def test_the_image_itself_is_always_there_for_devices() -> None:
    """The artifact of encoding 0 is what every version of a device can use."""
    without = changed(RELEASE, (7, 0, 9), 1)
    with pytest.raises(Malformed, match="the image itself"):
        decode_release_record(without, Reading.DEVICE)
