# SPDX-License-Identifier: Apache-2.0
"""A device of the class `tracker`: what it is given when it is made, and what it believes later."""

from fieldpost.checkin.belief import believe
from fieldpost.checkin.build import build_bundle
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.engines.base import PublishedHead
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import identifiers, map_keys
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.maker import Role
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.paper_cluster import PaperCluster, PaperOperator


def provisioning(board: "PaperCluster | BoardOnDisk") -> bytes:
    """The class as it stands now, with the operators of now; signed by the maker's roots."""
    map_, maker = board.state.map, board.maker
    link = find_link(map_, map_keys.board())
    maker_link = find_link(map_, map_keys.maker(maker.id))
    assert link is not None
    assert maker_link is not None
    record = ProvisioningRecord(
        board=board.state.board,
        urls=("http://op0.test",),
        board_record=read_board(map_).encode(),
        board_link=link.digest,
        maker=maker.id,
        maker_record=map_.value(map_keys.maker(maker.id)) or b"",
        maker_link=maker_link.digest,
        class_id=identifiers.class_id(maker.id, "tracker"),
        channels=("stable",),
        least_interval_s=60,
        most_interval_s=86_400,
        least_size=board.state.size,
        least_time=board.time,
        limits=DeviceLimits(),
    )
    statement = Statement(
        kind="provisioning",
        issuer=maker.id.hex(),
        subject=subjects.of_class(record.class_id),
        audience=record.board,
        payload=record.encode(),
    )
    return sign_post(statement, maker.keys[Role.ROOT][:2]).encode()


def check_in(
    board: "PaperCluster | BoardOnDisk", sleeper: bytes, head: PublishedHead, links: list[bytes]
) -> Verified:
    """What a device that believes `sleeper` makes of a head, given the board's links."""
    belief, provisioned = believe(sleeper)
    key = map_keys.head(provisioned.class_id, "stable")
    data = build_bundle(
        map=head.map,
        key=key,
        state_leaf=head.state_leaf,
        edge=head.edge,
        cosignatures=head.cosignatures,
    )
    return verify_bundle(
        belief,
        data,
        key=key,
        now=board.time,
        least_time=provisioned.least_time,
        board_links=links,
    )


def links_of(operator: PaperOperator, size: int) -> list[bytes]:
    replica = operator.replica
    places = replica.db.links_since(map_keys.board(), 0, size=size)
    return [replica.log.read_entry(place) for place in places]
