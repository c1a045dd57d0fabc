# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker register`: on a first board, and on further ones with the chain of links so far.

A registration on a further board carries every earlier link and is signed by the root threshold of
the last one (docs/spec/rules.md, maker.register). When links were added elsewhere since, the same
command takes the longer chain there.
"""

from pathlib import Path
from time import time

import click
from click.core import ParameterSource

from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import device_urls, flush, known_board
from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.disclosure import say_what_becomes_public
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.options import check_grace, home_options, open_home
from fieldpost.cli.own_chain import OwnChain, gather_chain
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.recovery_sheet import write_recovery_sheet
from fieldpost.cli.signing import conclude, export_option, needed_of
from fieldpost.errors import Misconfigured
from fieldpost.keys import Signer
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records import map_keys
from fieldpost.records.board import Admission, BoardRecord
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey
from fieldpost.records.policy import DevicePolicy

_DAY = 86_400
_OF_POLICY = ("max_age_days", "grace_days", "never_leave", "urls", "link_urls", "contact")


@click.command()
@click.option(
    "--board",
    "board_urls",
    multiple=True,
    required=True,
    envvar="FIELDPOST_BOARD",
    help="URL of a node of the board. Repeatable; its operators' own are asked as well.",
)
@click.option("--max-age-days", default=7.0, show_default=True, help="Oldest news devices accept.")
@click.option(
    "--grace-days",
    default=90.0,
    show_default=True,
    help="Powered days without any board after which devices believe your roots alone.",
)
@click.option(
    "--never-leave",
    is_flag=True,
    help="Grace 0: if this board dies, your devices never update again by themselves.",
)
@click.option(
    "--url",
    "urls",
    multiple=True,
    help="URL devices check in at.  [default: --board, and those of the board's operators]",
)
@click.option("--link-url", "link_urls", multiple=True, help="Your own URL with your links.")
@click.option("--contact", help="Where people report vulnerabilities.")
@click.option("--yes", is_flag=True, help="Do not ask; you accept what becomes public.")
@export_option
@home_options
@json_option
@click.pass_context
def register(
    context: click.Context,
    /,
    *,
    board_urls: tuple[str, ...],
    max_age_days: float,
    grace_days: float,
    never_leave: bool,
    urls: tuple[str, ...],
    link_urls: tuple[str, ...],
    contact: str | None,
    yes: bool,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Register on a board. Name, public keys and policy become public, for ever.

    It says so, and asks, before it posts; a script says --yes. Every key signs, which proves that
    you hold it. The policy says what your devices accept: which board, how fresh its news must be,
    and when they may leave it. If the answer is lost, run the same command again: what was signed
    is kept, and sent once more.

    On a further board your chain of links so far goes along, signed by your roots; run it again
    there whenever you changed keys or policy elsewhere. Your devices stay where your policy says,
    until `fieldpost maker set-policy --move-to`. Where a board admits only endorsed makers,
    --export-unsigned writes what one of its operators signs by `fieldpost maker sign`.

    \b
    fieldpost maker register --board https://board.example --contact security@lamps.example
    fieldpost maker register --board https://a.board.example --board https://b.board.example
    fieldpost maker register --board https://second.example
    """
    maker = open_home(home, passphrase_file)
    settings = maker.settings()
    named = tuple(url.rstrip("/") for url in board_urls)
    board = known_board(maker, Board(*named).id, named)
    flush(maker, board, as_json=as_json)
    maker_id = bytes.fromhex(settings.maker)
    recorded = ProvenBoard(board, board.id, now=int(time())).link(map_keys.maker(maker_id))
    others = [Board(*known) for id_, known in settings.boards.items() if id_ != board.id]
    chain = gather_chain(maker, [board, *others], as_json=as_json)
    facts: dict[str, object] = {"index": None, "receipt": None}
    if chain is None:
        check_grace(grace_days, never_leave=never_leave)
        say_what_becomes_public(settings.name, board.id, is_accepted=yes, as_json=as_json)
        maker.know(board_urls=named, board=board.id)
        policy = _policy(
            board, urls or device_urls(board, named), max_age_days, grace_days, link_urls
        )
        facts |= _register_first(maker, board, policy, contact, export=export, as_json=as_json)
    elif recorded != chain.link:
        _refuse_policy(context)
        if recorded is None:
            say_what_becomes_public(settings.name, board.id, is_accepted=yes, as_json=as_json)
        maker.know(board_urls=named, board=board.id)
        facts |= _bring_chain(maker, board, chain, export=export, as_json=as_json)
    facts = {
        "maker": settings.maker,
        "board": board.id,
        "solo": board.view().solo,
        **facts,
        "links": None if chain is None else len(chain.entries),
        "domain": "unverified",
    }
    if export is not None and "unsigned" in facts:
        show(facts, as_json=as_json, title="To be signed elsewhere")
        return
    _take_up(maker, board, named, chain)
    show(facts, as_json=as_json, title="Registered")
    if maker.settings().board != board.id:
        note(f"next: fieldpost maker use {board.url}, to prepare classes there", as_json=as_json)
        move = f"fieldpost maker set-policy --move-to {board.url}"
        note(f"then, to move devices: {move}", as_json=as_json)
        return
    note("next: fieldpost class add MODEL --support-end YYYY-MM-DD", as_json=as_json)


def _take_up(
    maker: MakerHome, board: Board, named: tuple[str, ...], chain: OwnChain | None
) -> None:
    """Commands act on this board from now on, if it is the one that devices are on."""
    is_home = chain is None or chain.record.policy.board == board.id
    changed = is_home and maker.settings().board != board.id
    maker.bind(board_urls=named, board=board.id, stay=not is_home)
    if changed:
        write_recovery_sheet(maker)


def _policy(
    board: Board,
    urls: tuple[str, ...],
    max_age_days: float,
    grace_days: float,
    link_urls: tuple[str, ...],
) -> DevicePolicy:
    record, link = board.record()
    size, _ = board.head()
    return DevicePolicy(
        board=board.id,
        urls=urls,
        board_epoch=record.epoch,
        board_link=link,
        least_size=size,
        max_age_s=round(max_age_days * _DAY),
        grace_s=round(grace_days * _DAY),
        link_urls=link_urls,
    )


def _refuse_policy(context: click.Context) -> None:
    given = [
        name
        for name in _OF_POLICY
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise Misconfigured(
            "you have links already, and they go to a further board as they are: leave out what "
            f"is said of the policy ({', '.join(given)}), and change it by `maker set-policy`"
        )


def _register_first(
    maker: MakerHome,
    board: Board,
    policy: DevicePolicy,
    contact: str | None,
    *,
    export: Path | None,
    as_json: bool,
) -> dict[str, object]:
    settings = maker.settings()
    maker_id = bytes.fromhex(settings.maker)
    signers = [signer for role in Role for signer in maker.everyone(role)]
    record = _first_record(maker, policy, contact)
    statement = Statement(
        kind="maker.register",
        issuer=settings.maker,
        subject=subjects.of_maker(maker_id),
        audience=board.id,
        payload=record.encode(),
    )
    everyone = Needed("of your keys", len(signers), tuple(s.public_key for s in signers))
    needed = [everyone, *_endorsement(board.record()[0])]
    return conclude(maker, board, statement, needed, signers, export=export, as_json=as_json)


def _bring_chain(
    maker: MakerHome, board: Board, chain: OwnChain, *, export: Path | None, as_json: bool
) -> dict[str, object]:
    maker_id = bytes.fromhex(maker.settings().maker)
    endorsement = _endorsement(board.record()[0])
    chain.check_fits(maker_id, board.id, endorsed=bool(endorsement))
    return conclude(
        maker,
        board,
        chain.registration(maker_id, board.id),
        [needed_of(chain.record, Role.ROOT), *endorsement],
        _roots(maker, chain.record),
        export=export,
        as_json=as_json,
    )


def _roots(maker: MakerHome, record: MakerRecord) -> list[Signer]:
    known = record.root.by_kid()
    return [s for s in maker.present(Role.ROOT) if s.public_key.thumbprint() in known]


def _endorsement(board: BoardRecord) -> list[Needed]:
    if board.admission is not Admission.ENDORSED:
        return []
    return [Needed("operator of the board, who endorses you", 1, tuple(board.governance.values()))]


def _first_record(maker: MakerHome, policy: DevicePolicy, contact: str | None) -> MakerRecord:
    settings = maker.settings()

    def keys(role: Role, threshold: int) -> KeySet:
        public = [signer.public_key for signer in maker.everyone(role)]
        return KeySet(threshold, tuple(RoleKey(key) for key in public))

    return MakerRecord(
        epoch=0,
        previous=None,
        name=settings.name,
        root=keys(Role.ROOT, settings.root_threshold),
        roles={
            role: keys(role, settings.release_threshold if role is Role.RELEASE else 1)
            for role in Role
            if role is not Role.ROOT
        },
        policy=policy,
        contact=contact,
    )


commands = (register,)
