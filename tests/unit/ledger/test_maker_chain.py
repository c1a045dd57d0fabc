# SPDX-License-Identifier: Apache-2.0
"""A maker brings its whole chain to a further board, and nobody can bring another one."""

from dataclasses import replace
from typing import Any

from fieldpost.keys import Algorithm
from fieldpost.ledger.links import linked_record
from fieldpost.ledger.replay import replay
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import map_keys
from fieldpost.records.board import Admission
from fieldpost.records.counters import Link
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import chain_registration, maker_set, record_of
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld


class TwoBoards:
    """One maker on its first board `old`, and the same maker's actor on `new`."""

    def __init__(self, *, endorsed: bool = False) -> None:
        admission = Admission.ENDORSED if endorsed else Admission.OPEN
        self.old = BoardWorld()
        self.new = BoardWorld(origin="new.test/1", admission=admission)
        self.maker = self.old.maker
        self.guest = self.new.maker
        self.links: list[bytes] = [self.maker.registration()]
        self.old.accept(self.links[0])

    @property
    def record(self) -> MakerRecord:
        return record_of(self.maker)

    def change(self, **changes: Any) -> bytes:
        """A link on the old board."""
        entry = maker_set(self.maker, **changes)
        self.old.accept(entry)
        self.links.append(entry)
        return entry

    def move(self) -> None:
        """The link after which the chain goes on at the new board."""
        policy = self.guest.record().policy
        self.change(policy=policy)

    def registration(self, **claims: Any) -> bytes:
        return chain_registration(self.guest, self.links, self.record, **claims)


def recorded(world: BoardWorld, maker: MakerActor) -> Link:
    return Link.decode(world.values[map_keys.link(map_keys.maker(maker.id))])


def test_a_maker_is_the_same_on_a_further_board_and_its_last_link_too() -> None:
    boards = TwoBoards()
    boards.change(contact="a")
    boards.change(contact="b")
    entry = boards.registration()
    boards.new.accept(entry)
    link = recorded(boards.new, boards.guest)
    assert link == recorded(boards.old, boards.maker)
    assert link.epoch == 2
    assert linked_record(decode_post(entry)) is None
    boards.new.accept(boards.guest.class_set())
    head = decode_head(
        boards.new.values[map_keys.head(boards.guest.class_id("tracker"), "stable")],
        Reading.LEDGER,
    )
    assert (head.maker_epoch, head.maker_link) == (2, link.digest)
    assert replay(None, boards.new.entries).last == boards.new.state.last


def test_a_chain_is_replaced_by_one_that_extends_it_and_the_heads_follow() -> None:
    boards = TwoBoards()
    boards.new.accept(boards.registration())
    boards.new.accept(boards.guest.class_set())
    new = [DeterministicSigner(Algorithm.ED25519, "renewed")]
    boards.change(keys={Role.RELEASE: (1, new)})
    boards.new.accept(boards.registration())
    key = map_keys.head(boards.guest.class_id("tracker"), "stable")
    assert decode_head(boards.new.values[key], Reading.LEDGER).maker_epoch == 1
    assert boards.new.refusal(boards.guest.release_publish(1)) == "unknown-key"
    boards.guest.adopt(Role.RELEASE, new)
    boards.new.accept(boards.guest.release_publish(1))


def test_after_the_move_the_chain_goes_on_at_the_new_board_alone() -> None:
    boards = TwoBoards()
    boards.move()
    boards.new.accept(boards.registration())
    assert boards.old.refusal(maker_set(boards.maker, contact="x")) == "moved"
    boards.new.accept(maker_set(boards.guest, contact="x"))
    assert recorded(boards.new, boards.guest).epoch == 2


def test_before_the_move_a_guest_changes_at_home() -> None:
    boards = TwoBoards()
    boards.new.accept(boards.registration())
    assert boards.new.refusal(maker_set(boards.guest, contact="x")) == "moved"


def test_a_maker_that_comes_home_brings_what_happened_elsewhere() -> None:
    boards = TwoBoards()
    boards.move()
    boards.new.accept(boards.registration())
    home = boards.maker.record().policy
    entry = maker_set(boards.guest, policy=home)
    boards.new.accept(entry)
    links = [*boards.links, entry]
    boards.old.accept(chain_registration(boards.maker, links, record_of(boards.guest)))
    boards.old.accept(maker_set(boards.maker, contact="home"))
    assert recorded(boards.old, boards.maker).epoch == 3


def test_the_same_chain_again_or_a_shorter_one_is_taken() -> None:
    boards = TwoBoards()
    first = boards.registration()
    boards.change(contact="a")
    boards.new.accept(boards.registration())
    assert boards.new.refusal(boards.registration()) == "taken"
    assert boards.new.refusal(first) == "taken"


def test_a_fork_of_the_recorded_chain_is_refused() -> None:
    boards = TwoBoards()
    fork = maker_set(boards.maker, contact="fork")
    boards.change(contact="a")
    boards.new.accept(boards.registration())
    forked = replace(boards.record, contact="fork")
    post = chain_registration(boards.guest, [boards.links[0], fork], forked)
    assert boards.new.refusal(post) == "previous-link"


def test_a_chain_with_a_hole_or_out_of_order_is_refused() -> None:
    boards = TwoBoards()
    boards.change(contact="a")
    boards.change(contact="b")
    first, second, third = boards.links
    for links in ([first, third], [second, third], [first, third, second], [third]):
        post = chain_registration(boards.guest, links, boards.record)
        assert boards.new.refusal(post) == "bad-chain"


def test_the_record_is_the_last_links() -> None:
    boards = TwoBoards()
    boards.change(contact="a")
    for record in (replace(boards.record, contact="b"), boards.maker.record()):
        post = chain_registration(boards.guest, boards.links, record)
        assert boards.new.refusal(post) == "bad-chain"


def test_the_last_root_threshold_signs_and_nobody_else() -> None:
    boards = TwoBoards()
    roots = [DeterministicSigner(Algorithm.ED25519, f"later/{n}") for n in range(3)]
    boards.change(keys={Role.ROOT: (2, roots)})
    old = boards.guest.keys[Role.ROOT]

    def post(*signers: DeterministicSigner) -> bytes:
        return chain_registration(boards.guest, boards.links, boards.record, signers=signers)

    assert boards.new.refusal(post(*old[:2])) == "unknown-key"
    assert boards.new.refusal(post(roots[0])) == "threshold"
    boards.new.accept(post(*roots[:2]))


def spoil(entry: bytes, **changes: object) -> bytes:
    """The entry with its first signature changed."""
    post = decode_post(entry)
    first, *others = post.signatures
    return Post(post.statement, (replace(first, **changes), *others)).encode()  # type: ignore[arg-type]


def test_a_link_with_a_bad_signature_is_refused() -> None:
    boards = TwoBoards()
    links = [spoil(boards.links[0], signature=bytes(64))]
    post = chain_registration(boards.guest, links, boards.record)
    assert boards.new.refusal(post) == "bad-signature"
    links = [spoil(boards.links[0], algorithm=Algorithm.ESP256)]
    post = chain_registration(boards.guest, links, boards.record)
    assert boards.new.refusal(post) == "bad-signature"


def test_a_link_under_too_few_old_roots_is_refused() -> None:
    """No rule of the other board is believed: its log may be anybody's invention."""
    boards = TwoBoards()
    thief = [DeterministicSigner(Algorithm.ED25519, f"thief/{n}") for n in range(2)]
    signers = [*boards.maker.keys[Role.ROOT][:1], *thief]
    link = maker_set(boards.maker, keys={Role.ROOT: (2, thief)}, signers=signers)
    record = replace(
        boards.record,
        epoch=1,
        previous=recorded(boards.old, boards.maker).digest,
        root=record_in(link).root,
    )
    post = chain_registration(boards.guest, [*boards.links, link], record, signers=thief)
    assert boards.new.refusal(post) == "threshold"


def test_a_key_that_did_not_sign_its_link_is_not_brought_along() -> None:
    """Else a maker could take a stranger's key on every board that trusts the first one."""
    boards = TwoBoards()
    stranger = [DeterministicSigner(Algorithm.ED25519, "stranger")]
    signers = boards.maker.quorum(Role.ROOT)
    link = maker_set(boards.maker, keys={Role.CARE: (1, stranger)}, signers=signers)
    post = chain_registration(boards.guest, [*boards.links, link], record_in(link))
    assert boards.new.refusal(post) == "possession"


def test_a_link_that_was_for_this_board_must_have_been_posted_here() -> None:
    """What is posted here is judged by the rules here, and is not brought along around them."""
    boards = TwoBoards()
    boards.move()
    boards.new.accept(boards.registration())
    link = maker_set(boards.guest, contact="unposted")
    post = chain_registration(boards.guest, [*boards.links, link], record_in(link))
    assert boards.new.refusal(post) == "bad-chain"


def test_a_link_of_another_maker_or_kind_is_no_link() -> None:
    boards = TwoBoards()
    other = MakerActor(boards.old, "other")
    boards.old.accept(other.registration())
    link = maker_set(other, contact="a")
    publish = boards.maker.class_set()
    for foreign in (link, publish, boards.old.genesis):
        post = chain_registration(boards.guest, [*boards.links, foreign], boards.record)
        assert boards.new.refusal(post) in {"bad-chain", "malformed"}
    junk = chain_registration(boards.guest, [*boards.links, b"junk"], boards.record)
    assert boards.new.refusal(junk) == "malformed"


def test_a_chain_that_leaves_out_its_beginning_is_refused() -> None:
    """Else a maker could hide the links in which it changed its keys, and count epochs anew."""
    boards = TwoBoards()
    boards.move()
    whole = boards.registration()
    everybody = [signer for role in Role for signer in boards.maker.keys[role]]
    statement = decode_post(whole).statement
    late = boards.guest.post("maker.register", statement.subject, boards.record.encode(), everybody)
    for first in (whole, late):
        post = chain_registration(boards.guest, [first], boards.record)
        assert boards.new.refusal(post) == "bad-chain"
    boards.new.accept(whole)


def test_a_first_link_must_be_for_the_board_that_its_policy_names() -> None:
    boards = TwoBoards()
    everybody = [signer for role in Role for signer in boards.maker.keys[role]]
    statement = decode_post(boards.links[0]).statement
    first = boards.maker.post(
        "maker.register",
        statement.subject,
        statement.payload,
        everybody,
        audience="elsewhere.test/1#" + "00" * 16,
    )
    post = chain_registration(boards.guest, [first], boards.record)
    assert boards.new.refusal(post) == "bad-chain"


def test_a_registration_speaks_for_the_maker_of_its_chain() -> None:
    boards = TwoBoards()
    assert boards.new.refusal(boards.registration(issuer="00" * 16)) == "wrong-issuer"
    assert boards.new.refusal(boards.registration(audience=boards.old.board)) == "wrong-board"


def test_a_key_in_use_on_the_further_board_is_taken() -> None:
    boards = TwoBoards()
    squatter = MakerActor(boards.new, "squatter")
    squatter.keys[Role.CARE] = boards.guest.keys[Role.CARE]
    boards.new.accept(squatter.registration())
    assert boards.new.refusal(boards.registration()) == "key-taken"


def test_an_endorsing_board_asks_a_guest_once() -> None:
    boards = TwoBoards(endorsed=True)
    assert boards.new.refusal(boards.registration()) == "not-endorsed"
    signers = [*boards.guest.quorum(Role.ROOT), boards.new.operators[0].governance]
    boards.new.accept(
        chain_registration(boards.guest, boards.links, boards.record, signers=signers)
    )
    boards.change(contact="a")
    boards.new.accept(boards.registration())


def test_a_policy_for_this_board_fits_it_also_in_a_chain() -> None:
    boards = TwoBoards()
    boards.change(policy=replace(boards.guest.record().policy, board_link=bytes(32)))
    assert boards.new.refusal(boards.registration()) == "bad-policy"


def test_no_chain_leaves_a_class_that_cannot_verify_the_new_keys() -> None:
    boards = TwoBoards()
    boards.new.accept(boards.registration())
    only = DeviceLimits(algorithms=(Algorithm.ED25519,))
    boards.new.accept(boards.guest.class_set(limits=only))
    modern = [DeterministicSigner(Algorithm.ESP256, "modern")]
    boards.change(keys={Role.RELEASE: (1, modern)})
    assert boards.new.refusal(boards.registration()) == "class-algorithms"


def test_a_maker_that_registered_cannot_begin_anew() -> None:
    boards = TwoBoards()
    boards.new.accept(boards.registration())
    assert boards.new.refusal(boards.guest.registration()) == "taken"


def record_in(link: bytes) -> MakerRecord:
    return decode_maker_record(decode_post(link).statement.payload)
