# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker`: keys, registration, and what the board says of a maker."""

from pathlib import Path

import click

from fieldpost.cli.board_access import Board, flush, publish
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.disclosure import say_what_becomes_public
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.options import (
    find_passphrase,
    home_options,
    is_number,
    open_home,
)
from fieldpost.cli.recovery_sheet import write_recovery_sheet
from fieldpost.errors import Malformed, Misconfigured, NotFound
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey
from fieldpost.records.policy import DevicePolicy
from fieldpost.signers.software import SoftwareSigner

ALGORITHMS = {
    "ed25519": Algorithm.ED25519,
    "p256": Algorithm.ESP256,
    "mldsa44": Algorithm.ML_DSA_44,
}
_DAY = 86_400


@click.group(name="maker")
def command() -> None:
    r"""Make your keys; register as a maker on a board; look at makers.

    \b
    fieldpost maker init --name "Example Lamps"
    fieldpost maker register --board http://127.0.0.1:8470
    fieldpost maker show
    """


@command.command()
@click.option("--name", required=True, help="Your name, as the board shows it (printable ASCII).")
@click.option("--roots", default="2-of-3", show_default=True, help="Root keys: K-of-N.")
@click.option("--one-key", is_flag=True, help="One root key. If it is lost or stolen, so are you.")
@click.option("--releases", default="1-of-1", show_default=True, help="Release keys: K-of-N.")
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="ed25519",
    show_default=True,
    help="Of all your keys; mldsa44 resists quantum computers, and is large.",
)
@click.option("--no-passphrase", is_flag=True, help="Leave the key files unencrypted (for trials).")
@home_options
@json_option
def init(
    *,
    name: str,
    roots: str,
    one_key: bool,
    releases: str,
    algorithm: str,
    no_passphrase: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Make your keys: roots, and one each to release, roll out, enrol and care.

    Roots change everything else and should live apart from this machine: after `maker register`,
    move HOME/keys/root-*.pem to other places. Everyday posts need the other keys only; `class add`
    and `class trust` need as many roots as you say here.

    \b
    fieldpost maker init --name "Example Lamps" --roots 2-of-3
    fieldpost maker init --name trial --one-key --no-passphrase --home ./trial
    """
    root_threshold, root_count = (1, 1) if one_key else parse_threshold(roots)
    release_threshold, release_count = parse_threshold(releases)
    passphrase = None if no_passphrase else find_passphrase(passphrase_file, new=True)()
    counts = {Role.ROOT: root_count, Role.RELEASE: release_count}
    signers = {
        role: tuple(
            SoftwareSigner.generate(ALGORITHMS[algorithm]) for _ in range(counts.get(role, 1))
        )
        for role in Role
    }
    maker = open_home(home, passphrase_file)
    settings = maker.create(
        name=name,
        signers=signers,
        root_threshold=root_threshold,
        release_threshold=release_threshold,
        passphrase=passphrase,
    )
    sheet = write_recovery_sheet(maker)
    show(
        {
            "maker": settings.maker,
            "name": name,
            "roots": f"{root_threshold} of {root_count}",
            "releases": f"{release_threshold} of {release_count}",
            "keys": str(maker.path / "keys"),
            "encrypted": passphrase is not None,
            "recovery_sheet": str(sheet),
        },
        as_json=as_json,
        title="Your keys are made",
    )
    note("next: fieldpost maker register --board URL", as_json=as_json)


def parse_threshold(text: str) -> tuple[int, int]:
    """(needed, count) of `2-of-3`. Raises Malformed."""
    needed, middle, count = text.partition("-of-")
    if not middle or not (is_number(needed) and is_number(count)):
        raise Malformed(f"{text!r} is no threshold; write for example 2-of-3")
    if not 1 <= int(needed) <= int(count) <= 8:
        raise Malformed(f"{text!r}: needed keys between 1 and the number of keys, at most 8")
    return int(needed), int(count)


@command.command()
@click.option("--board", "board_url", required=True, envvar="FIELDPOST_BOARD", help="A node's URL.")
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
@click.option("--url", "urls", multiple=True, help="URL devices check in at.  [default: --board]")
@click.option("--link-url", "link_urls", multiple=True, help="Your own URL with your links.")
@click.option("--contact", help="Where people report vulnerabilities.")
@click.option("--yes", is_flag=True, help="Do not ask; you accept what becomes public.")
@home_options
@json_option
def register(
    *,
    board_url: str,
    max_age_days: float,
    grace_days: float,
    never_leave: bool,
    urls: tuple[str, ...],
    link_urls: tuple[str, ...],
    contact: str | None,
    yes: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Register on a board. Name, public keys and policy become public, for ever.

    It says so, and asks, before it posts; a script says --yes. Every key signs, which proves that
    you hold it. The policy says what your devices accept: which board, how fresh its news must be,
    and when they may leave it. If the answer is lost, run the same command again: what was signed
    is kept, and sent once more.

    \b
    fieldpost maker register --board https://board.example --contact security@lamps.example
    """
    maker = open_home(home, passphrase_file)
    settings = maker.settings()
    board = Board(board_url)
    if settings.board not in (None, board.id):
        raise Misconfigured(
            f"already registered on {settings.board}, and {board.url} is {board.id}; a maker is on "
            "one board: use another --home for another maker"
        )
    flush(maker, board, as_json=as_json)
    maker_id = bytes.fromhex(settings.maker)
    index: int | None = None
    receipt: Path | None = None
    if not _is_registered(board, settings.maker):
        if never_leave != (grace_days == 0):
            raise Misconfigured(
                "--grace-days 0 and --never-leave go together: if this board dies, devices with "
                "grace 0 never update again unless a person acts on each"
            )
        say_what_becomes_public(settings.name, board.id, is_accepted=yes, as_json=as_json)
        record, link = board.record()
        size, _ = board.head()
        policy = DevicePolicy(
            board=board.id,
            urls=urls or (board.url,),
            board_epoch=record.epoch,
            board_link=link,
            least_size=size,
            max_age_s=round(max_age_days * _DAY),
            grace_s=round(grace_days * _DAY),
            link_urls=link_urls,
        )
        statement = Statement(
            kind="maker.register",
            issuer=settings.maker,
            subject=subjects.of_maker(maker_id),
            audience=board.id,
            payload=_first_record(maker, policy, contact).encode(),
        )
        everyone = [signer for role in Role for signer in maker.everyone(role)]
        index, receipt = publish(maker, board, sign_post(statement, everyone))
    maker.bind(board_url=board.url, board=board.id)
    if index is not None:
        write_recovery_sheet(maker)
    show(
        {
            "maker": settings.maker,
            "board": board.id,
            "solo": board.view().solo,
            "index": index,
            "receipt": str(receipt) if receipt else None,
            "domain": "unverified",
        },
        as_json=as_json,
        title="Registered",
    )
    note("next: fieldpost class add MODEL --support-end YYYY-MM-DD", as_json=as_json)


def _is_registered(board: Board, maker: str) -> bool:
    try:
        board.json(f"/v1/makers/{maker}")
    except NotFound:
        return False
    return True


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
