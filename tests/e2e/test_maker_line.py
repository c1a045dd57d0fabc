# SPDX-License-Identifier: Apache-2.0
"""A maker's whole line by hand: command-line processes against a node process, over HTTP."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.testing.relay import Relay
from fieldpost.testing.signers import DeterministicSigner
from tests.e2e.maker_cli import PASSPHRASE, Maker, make_maker, running_node

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node")) as url:
        yield url


@pytest.fixture(scope="module")
def maker(node: str, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """A registered maker with a class; tests add to it, and none depends on another's posts."""
    return make_maker(tmp_path_factory.mktemp("maker") / "home", node)


def write_requests(folder: Path, class_id: str, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        signer = DeterministicSigner(Algorithm.ED25519, f"{class_id} {number}")
        leaf = DeviceLeaf(f"SN{number}", signer.public_key, bytes.fromhex(class_id))
        (folder / f"SN{number}.enrol").write_bytes(encode_request(leaf, signer))


def test_the_whole_line_by_hand(node: str, tmp_path: Path) -> None:
    """Keys, registration, class, trust, lot, release, rollout, verification: all answers parse."""
    maker = Maker(tmp_path / "home")
    image = tmp_path / "firmware.bin"
    image.write_bytes(Random(1).randbytes(200_000) + bytes(200_000))
    made = maker("maker", "init", "--name", "Example Lamps", "--json").json
    assert made["encrypted"]
    assert "PRIVATE" not in "".join(path.name for path in tmp_path.rglob("*"))
    registered = maker("maker", "register", "--board", node, "--yes", "--json").json
    assert registered["maker"] == made["maker"]
    assert Path(registered["receipt"]).exists()
    assert maker("maker", "show", "--json").json["name"] == "Example Lamps"

    added = maker("class", "add", "lamp:r1", "--support-end", "2035-01-01", "--json").json
    provisioning = tmp_path / "lamp.provisioning"
    trusted = maker("class", "trust", "lamp:r1", "--out", provisioning, "--json").json
    assert provisioning.stat().st_size == trusted["bytes"]
    assert maker("verify", provisioning, "--json").json["class"] == added["class"]
    assert maker("fleet", "status", "lamp:r1", "--json").json["devices"] == 0
    assert "no device has reported yet" in maker("fleet", "status", "lamp:r1").out

    write_requests(tmp_path / "requests", added["class"], 5)
    enrol = ("lot", "enrol", "lamp:r1", "--requests", tmp_path / "requests", "--json")
    lot = maker(*enrol).json
    assert lot["devices"] == 5
    again = maker(*enrol).json
    assert (again["lot"], again["index"]) == (lot["lot"], None), "the same lot is not posted twice"
    assert maker("lot", "show", lot["lot"], "--json").json["leaves_stored"]
    assert maker("fleet", "status", "lamp:r1", "--json").json["never_seen"] == 5

    publish = ("release", "publish", "lamp:r1", image, "--version", "1.0")
    released = maker(*publish, "--json").json
    assert [words.split()[0] for words in released["artifacts"]] == ["identity", "zstd"]
    (row,) = maker("release", "list", "lamp:r1", "--json").json
    assert row["manifest_stored"]
    assert all(artifact["stored"] for artifact in row["artifacts"])
    posts = maker.folder("sent")
    complete = maker(*publish)
    assert complete.out.splitlines()[0] == "Release complete"
    assert maker.folder("sent") == posts, "nothing is posted twice"

    rollout = maker("rollout", "set", "lamp:r1", "--offer", "1=25%", "--json").json
    assert rollout["offers"] == ["1=25%"]
    (offer,) = maker("rollout", "show", "lamp:r1", "--json").json
    assert (offer["sequence"], offer["share"]) == (1, "25%")
    assert maker("class", "show", "lamp:r1", "--json").json["newest"] == 1

    with HttpClient(node) as http:
        bundle = http.fetch(f"/v1/checkin/{added['class']}/stable")
    (tmp_path / "checkin.cbor").write_bytes(bundle)
    judge = ("--provisioning", provisioning, "--json")
    assert maker("verify", tmp_path / "checkin.cbor", *judge).json["offers"] == ["1 to 25%"]
    assert maker("verify", image, *judge).json["sequence"] == 1
    receipt = maker("verify", rollout["receipt"], "--board", node, "--json").json
    assert receipt["index"] == rollout["index"]
    assert maker("board", "show", "--json").json["solo"]
    assert maker("board", "fsck", "--json").json["entries"] > rollout["index"]
    for answer in (made, registered, released, rollout):
        assert PASSPHRASE not in json.dumps(answer)


def test_a_channel_keeps_its_interval_and_can_offer_nothing(
    node: str, maker: Maker, tmp_path: Path
) -> None:
    maker.must("class", "add", "pump", "--support-end", "2035-01-01")
    (tmp_path / "a.bin").write_bytes(b"firmware of a pump")
    maker.must("release", "publish", "pump", tmp_path / "a.bin", "--version", "1")
    first = maker("rollout", "set", "pump", "--offer", "1=1%", "--interval", "600", "--json").json
    then = maker("rollout", "set", "pump", "--offer", "1=100%", "--json").json
    assert (first["interval_s"], then["interval_s"]) == (600, 600)
    refused = maker("rollout", "set", "pump", "--json").error
    assert "--nothing" in refused["detail"], "offers are not withdrawn by leaving a word out"
    assert maker("rollout", "show", "pump", "--json").json[0]["share"] == "100%"
    maker.must("rollout", "set", "pump", "--nothing")
    assert maker("rollout", "show", "pump", "--json").json == []


def test_an_upload_that_was_killed_goes_on_where_it_stopped(
    node: str, maker: Maker, tmp_path: Path
) -> None:
    image = tmp_path / "large.bin"
    image.write_bytes(Random(2).randbytes(9 * MIB))
    maker.must("class", "add", "large", "--support-end", "2035-01-01")
    publish = ("release", "publish", "large", image, "--version", "1", "--json")
    arrived, dead = threading.Event(), threading.Event()
    with Relay(node) as relay:

        def stall(_: str, body: bytes) -> bytes:
            if relay.requests[-1][0] == "PATCH":
                arrived.set()
                dead.wait(60)
            return body

        relay.alter = stall
        maker.ask_at(relay.url)
        with maker.start(*publish) as process:
            assert arrived.wait(60), "the node has the first piece, the maker does not know yet"
            process.kill()
            process.wait(timeout=60)
        dead.set()
        refused = maker("rollout", "set", "large", "--offer", "1=100%", "--json").error
        assert refused["error"] == "conflict"
        assert refused["exit"] == 2
        assert "fieldpost release publish" in refused["detail"]
        assert maker("rollout", "show", "large", "--json").json == []
        relay.requests.clear()
        again = maker(*publish).json
        methods = [method for method, _, _ in relay.requests]
    maker.ask_at(node)
    assert again["index"] is None, "the release was posted before"
    assert "POST" not in methods
    assert methods.count("PATCH") == 2, "of three pieces the first was there already"
    (row,) = maker("release", "list", "large", "--json").json
    assert all(artifact["stored"] for artifact in row["artifacts"])
    maker.must("rollout", "set", "large", "--offer", "1=100%")


def test_a_lost_answer_never_means_a_second_signature(
    node: str, maker: Maker, tmp_path: Path
) -> None:
    """The post stays in the outbox, and is sent again, byte for byte, by the next command."""
    (tmp_path / "b.bin").write_bytes(b"firmware b")
    maker.must("class", "add", "lost", "--support-end", "2035-01-01")
    publish = ("release", "publish", "lost", tmp_path / "b.bin", "--version", "1", "--json")
    with Relay(node) as relay:
        relay.cut = lambda path: 10 if path == "/v1/posts" else None
        maker.ask_at(relay.url)
        lost = maker(*publish).error
        assert lost["exit"] == 75
        (kept,) = maker.folder("outbox")
        relay.cut = lambda _: None
        again = maker(*publish).json
    maker.ask_at(node)
    assert again["index"] is None, "the waiting post was the release"
    assert maker.folder("outbox") == []
    assert kept in maker.folder("sent")
    assert len(maker("release", "list", "lost", "--json").json) == 1


def test_a_registration_whose_answer_was_lost_is_finished(node: str, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "home")
    maker.must("maker", "init", "--name", "acme", "--one-key", "--no-passphrase")
    with Relay(node) as relay:
        relay.cut = lambda path: 0 if path == "/v1/posts" else None
        assert (
            maker("maker", "register", "--board", relay.url, "--yes", "--json").error["exit"] == 75
        )
    assert maker.settings()["board"] is None
    assert maker("maker", "register", "--board", node, "--yes", "--json").json["index"] is None
    assert maker.settings()["boards"] == {maker.settings()["board"]: [node]}
    assert maker.folder("sent") == [
        "000001-maker.register.cose",
        "000001-maker.register.tlog-proof",
    ]


def test_a_post_that_waits_is_not_sent_to_another_board(
    node: str, maker: Maker, tmp_path: Path
) -> None:
    stranger = Maker(tmp_path / "home")
    stranger.must("maker", "init", "--name", "acme", "--one-key", "--no-passphrase")
    with Relay(node) as relay:
        relay.cut = lambda path: 0 if path == "/v1/posts" else None
        stranger("maker", "register", "--board", relay.url, "--yes")
    with running_node(tmp_path / "other") as other:
        refused = stranger("maker", "register", "--board", other, "--yes", "--json").error
    assert refused["exit"] == 78
    assert "000001-maker.register.cose was signed for board" in refused["detail"]
    assert len(stranger.folder("outbox")) == 1


def test_a_wrong_passphrase_opens_nothing_and_is_not_repeated(node: str, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "home")
    maker.must("maker", "init", "--name", "acme", "--one-key")
    register = ("maker", "register", "--board", node, "--yes", "--json")
    wrong = maker(*register, FIELDPOST_PASSPHRASE="staple")
    assert wrong.error["exit"] == 78
    assert "the passphrase does not open" in wrong.error["detail"]
    assert "staple" not in wrong.err
    nobody = maker(*register, FIELDPOST_PASSPHRASE="", FIELDPOST_PASSPHRASE_FILE="nowhere")
    assert "nowhere" in nobody.error["detail"]
    assert maker(*register).code == 0


def test_what_the_rules_refuse_is_put_aside_and_the_line_goes_on(maker: Maker) -> None:
    maker.must("class", "add", "twice", "--support-end", "2035-01-01")
    refused = maker("class", "add", "twice", "--support-end", "2034-01-01", "--json").error
    assert (refused["exit"], refused["error"], refused["name"]) == (1, "rejected", "taken")
    assert maker.folder("outbox") == []
    assert [name for name in maker.folder("refused") if "class.set" in name]
    assert maker("class", "show", "twice").out.count("2035-01-01") == 1


def test_another_board_at_the_same_address_is_noticed(
    node: str, maker: Maker, tmp_path: Path
) -> None:
    with running_node(tmp_path / "other") as other:
        maker.ask_at(other)
        refused = maker("class", "add", "elsewhere", "--support-end", "2035-01-01", "--json").error
    maker.ask_at(node)
    assert (refused["exit"], refused["reason"]) == (3, "wrong-board")
    assert maker("class", "show", "elsewhere", "--json").error["exit"] == 2


def test_two_histories_of_one_board_are_noticed_and_kept_as_evidence(tmp_path: Path) -> None:
    """An operator restores a copy of its board and shows each maker another history."""
    with running_node(tmp_path / "one") as url:
        maker = make_maker(tmp_path / "home", url)
        other = make_maker(tmp_path / "other-home", url)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with running_node(tmp_path / "one") as one, running_node(tmp_path / "two") as two:
        maker.ask_at(one)
        other.ask_at(two)
        maker.must("class", "add", "seen", "--support-end", "2035-01-01")
        other.must("class", "add", "other", "--support-end", "2035-01-01")
        assert maker("class", "show", "seen", "--json").code == 0, "remembers this history"
        maker.ask_at(two)
        refused = maker("class", "add", "third", "--support-end", "2035-01-01", "--json").error
    assert (refused["exit"], refused["reason"]) == (4, "split-view")
    assert len(maker.folder("evidence")) == 2
    assert str(maker.home / "evidence") in refused["detail"]
    assert len([name for name in maker.folder("sent") if name.endswith(".cose")]) == 3


def test_files_that_prove_nothing_are_refused(node: str, maker: Maker, tmp_path: Path) -> None:
    trust = tmp_path / "bulb.provisioning"
    maker.must("class", "trust", "bulb", "--out", trust)
    unknown = tmp_path / "unknown.bin"
    unknown.write_bytes(b"an image that nobody published")
    refused = maker("verify", unknown, "--provisioning", trust, "--json").error
    assert (refused["exit"], refused["reason"]) == (3, "unknown-image")
    damaged = bytearray(trust.read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    assert maker("verify", tmp_path / "damaged", "--json").error["exit"] == 3

    post = maker.home / "sent" / "000001-maker.register.cose"
    receipt = post.with_suffix(".tlog-proof")
    judge = ("--entry", post, "--board", node, "--json")
    index = maker("verify", receipt, *judge).json["index"]
    forged = tmp_path / "forged.tlog-proof"
    forged.write_text(receipt.read_text().replace(f"index {index}\n", f"index {index + 1}\n"))
    assert maker("verify", forged, *judge).error["exit"] == 3
    assert (
        maker("verify", receipt, "--board", node, "--entry", unknown, "--json").error["exit"] == 3
    )


@pytest.mark.parametrize("damage", ["entries", "tile"])
def test_a_damaged_copy_of_the_log_is_named(
    damage: str, node: str, maker: Maker, tmp_path: Path
) -> None:
    copy = mirror(node, tmp_path / "copy")
    assert maker("board", "fsck", copy, "--json").json["solo"]
    folder = copy / "tile" / ("entries" if damage == "entries" else "0")
    (victim,) = (path for path in folder.rglob("*") if path.is_file())
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    refused = maker("board", "fsck", copy, "--json")
    assert refused.code == 3
    (named,) = json.loads(refused.out)["damaged"]
    assert named["file"] == str(victim.relative_to(copy))
    assert maker("board", "fsck", "--json").code == 0, "the board itself is as it was"


def mirror(url: str, folder: Path) -> Path:
    """A copy of a small log over HTTP, as anybody can make one."""
    with HttpClient(url) as http:
        checkpoint = http.fetch("/log/checkpoint")
        size = int(checkpoint.split(b"\n")[1])
        assert size < 256
        for path in ("checkpoint", f"tile/0/000.p/{size}", f"tile/entries/000.p/{size}"):
            data = checkpoint if path == "checkpoint" else http.fetch(f"/log/{path}")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["maker", "register"], 64),
        (["class", "show", "never-added"], 2),
        (["class", "trust", "bulb", "--out", "no/such/folder/x"], 75),
        (["class", "trust", "bulb", "--channel", "beta", "--out", "x"], 2),
        (["lot", "enrol", "bulb"], 78),
        (["lot", "show", "00" * 16], 2),
        (["release", "publish", "bulb", "/dev/null", "--version", "1"], 65),
        (["release", "publish", "bulb", "/proc/self/mem", "--version", "1"], 75),
        (["rollout", "set", "bulb", "--offer", "9=100%"], 2),
        (["rollout", "set", "bulb", "--channel", "beta", "--nothing"], 2),
        (["rollout", "set", "bulb", "--offer", "1=0.5"], 65),
        (["maker", "show", "00" * 16, "--board", "http://127.0.0.1:1"], 75),
        (["maker", "show", "00" * 16, "--board", "gopher://x"], 78),
        (["board", "fsck", "/dev"], 78),
        (["maker", "init", "--name", "again"], 78),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_refusals_have_their_exit_code_and_a_next_step(
    arguments: list[str], code: int, maker: Maker, tmp_path: Path
) -> None:
    before = maker.folder("sent")
    assert maker(*arguments, "--json").error["exit"] == code
    shown = maker(*arguments)
    assert shown.code == code
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    assert "\x1b" not in shown.err, "colours are for terminals"
    assert maker.folder("sent") == before
