# SPDX-License-Identifier: Apache-2.0
"""Witnesses of a board of four real operators: ours, and one that nobody here wrote.

Every operator's node asks them by itself, each with a head that its own log key signed; what they
cosign stands in the checkpoints and bundles of all, and a device counts it.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.cli.operator_file import make_operator
from fieldpost.tlog.note import VerifierKey, format_vkey, parse_vkey
from tests.e2e.maker_cli import CLI, Maker, environment, make_maker
from tests.e2e.operators import call, fetch, wait
from tests.e2e.test_cluster import fieldpost, up
from tests.e2e.test_operators_come_and_go import Board, checkpoint_lines
from tests.e2e.test_stock_witness import PROGRAM, Stock
from tests.ports import free_port

pytestmark = pytest.mark.e2e


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def start_witness(data: Path, board: str, stack: ExitStack) -> tuple[VerifierKey, str]:
    """A witness of ours in a process of its own: its key and where it serves."""
    made = call("witness", "init", "--data", data, "--name", "w.test/witness")
    port = free_port()
    listen = f"127.0.0.1:{port}"
    process = stack.enter_context(
        subprocess.Popen(
            [*CLI, "witness", "run", "--data", str(data), "--board", board, "--listen", listen],
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(process.terminate)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready ")
    return parse_vkey(made["vkeys"][0]), f"http://{listen}"


def log_keys(board: Board) -> list[VerifierKey]:
    """The key with which each operator signs the one log."""
    found = []
    for number in (1, 2, 3, 4):
        file = make_operator(
            board.member(number).data,
            name=board.member(number).name,
            origin=origin_of(board),
            urls=(board.member(number).url,),
            p2p_address="127.0.0.1:1",
        )
        found.append(file.operator.log_key)
    return found


def origin_of(board: Board) -> str:
    origin: str = board.cluster.ready["board"].partition("#")[0]
    return origin


def in_checkpoints(urls: list[str], key: VerifierKey) -> bool:
    """Whether every operator shows a head with this witness's line."""
    lines = [checkpoint_lines(url) for url in urls]
    return all(any(line.split()[1] == key.name for line in one) for one in lines)


def in_bundles(urls: list[str], path: str, key: VerifierKey) -> bool:
    """Whether every operator's check-in carries this witness's cosignature."""
    bundles = [fetch(url, path) for url in urls]
    return all(
        bundle is not None
        and any(
            one.key_id == key.key_id for one in decode_bundle(bundle, most_bytes=8_192).cosignatures
        )
        for bundle in bundles
    )


def test_what_witnesses_cosign_stands_in_the_bundles_of_all_operators(
    tmp_path: Path, stack: ExitStack
) -> None:
    cluster = stack.enter_context(up(tmp_path / "c", "--nodes", "4"))
    urls = cluster.ready["urls"]
    maker = make_maker(tmp_path / "maker", urls[0])
    board = Board(cluster, maker, tmp_path)
    ours, ours_at = start_witness(tmp_path / "w", urls[1], stack)
    needed = 1
    words: list[str] = ["--witness", f"{format_vkey(ours)}@{ours_at}"]
    stock = None
    if PROGRAM is not None and shutil.which("ssh-agent") is not None:
        stock = Stock(tmp_path / "stock", stack, PROGRAM)
        stock.know(origin_of(board), *log_keys(board))
        words += ["--witness", f"{format_vkey(stock.key)}@{stock.url}"]
        needed = 2
    signing = [board.member(number).data for number in (2, 3)]
    change = ("operator", "board-set", "--yes", *words, "--witnesses-needed", str(needed))
    board.change(signing, *change)

    # Nothing more is published without them, at whichever operator it was posted.
    maker.must("maker", "use", urls[2])
    shown = maker.must("class", "show", "bulb")
    maker.must("maker", "set-policy", "--witness", format_vkey(ours), "--witnesses-needed", "1")
    publish(maker, tmp_path)
    path = f"/v1/checkin/{shown['class']}/stable"
    for key in [ours, *([stock.key] if stock else [])]:
        wait(lambda key=key: in_checkpoints(urls, key), f"{key.name} in all checkpoints")  # type: ignore[misc]
        wait(lambda key=key: in_bundles(urls, path, key), f"{key.name} in all bundles")  # type: ignore[misc]

    install(maker, tmp_path)
    fsck = fieldpost("board", "fsck", urls[3]).json
    assert fsck["board"] == cluster.ready["board"]
    cluster("stop")
    if stock is None:
        pytest.skip("one witness of two was tried: make witness-deps, and openssh-client")


def publish(maker: Maker, root: Path) -> None:
    image = root / "1.0.bin"
    image.write_text("image 1.0")
    maker.must("release", "publish", "bulb", image, "--version", "1.0")
    maker.must("rollout", "set", "bulb", "--offer", "1=100%")


def install(maker: Maker, root: Path) -> None:
    """A device whose maker's policy demands the witness takes the release."""
    device, trust = root / "device", root / "bulb.provisioning"
    maker.must("class", "trust", "bulb", "--out", trust)
    maker.must("agent", "enrol", "--home", device, "--provisioning", trust, "--serial", "SN1")
    done = maker("agent", "once", "--home", device, "--json")
    assert done.code == 0, (done.out, done.err)
    assert maker.must("agent", "status", "--home", device)["sequence"] == 1
