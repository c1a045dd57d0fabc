# SPDX-License-Identifier: Apache-2.0
"""The whole line with keys that nobody can copy: operator, maker and device sign with tokens."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.maker_cli import CLI, environment
from tests.softhsm import PIN, Tokens, make_tokens

pytestmark = pytest.mark.e2e
pytest.importorskip("pkcs11")


class Line:
    """Commands in one folder, all of which see the same tokens."""

    def __init__(self, folder: Path, tokens: Tokens) -> None:
        self.folder = folder
        self.tokens = tokens
        self.environment = environment(
            FIELDPOST_HOME=str(folder / "maker"), PYTHONUNBUFFERED="1", **tokens.environment
        )
        self.said = ""

    def run(self, *words: str, code: int = 0) -> Any:
        done = subprocess.run(
            [*CLI, *words, "--json"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said += done.stdout + done.stderr + " ".join(words)
        assert done.returncode == code, done.stdout + done.stderr
        lines = (done.stdout if code == 0 else done.stderr).strip()
        return json.loads(lines) if lines.startswith(("{", "[")) and "}\n{" not in lines else lines

    def node(self) -> "subprocess.Popen[str]":
        words = ["--data", str(self.folder / "node"), "--listen", "127.0.0.1:0"]
        return subprocess.Popen(
            [*CLI, "node", "run", *words, "--origin", "tokens.example/1", "--json"],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )


def test_board_maker_and_device_work_with_keys_that_never_leave_their_tokens(
    tmp_path: Path,
) -> None:
    tokens = make_tokens(tmp_path / "hsm")
    for label in ("board", "acme", "element"):
        tokens.add(label)
    line = Line(tmp_path, tokens)

    line.run("node", "make-keys", "--data", str(tmp_path / "node"), "--token", tokens.uri("board"))
    files = sorted((tmp_path / "node" / "keys").glob("*.pem"))
    assert [file.name for file in files] == ["cosigner.pem", "governance.pem", "log.pem"]
    assert all(file.read_text().startswith("pkcs11:token=board;object=") for file in files)

    node = line.node()
    try:
        assert node.stdout is not None
        url = json.loads(node.stdout.readline())["url"]
        made = line.run(
            *("maker", "init", "--name", "acme", "--one-key", "--no-passphrase"),
            *("--algorithm", "p256", "--token", tokens.uri("acme"), "--on-token", "release"),
        )
        assert made["on_token"] == ["release"]
        line.run("maker", "register", "--board", url, "--yes")
        line.run(*("class", "add", "bulb", "--support-end", "2035-01-01", "--least-interval", "1"))
        line.run("class", "trust", "bulb", "--out", str(tmp_path / "bulb.prov"))

        device = str(tmp_path / "device")
        line.run(
            *("agent", "enrol", "--home", device, "--provisioning", str(tmp_path / "bulb.prov")),
            *("--serial", "SN1", "--algorithm", "p256", "--token", tokens.uri("element")),
        )
        assert "object=fieldpost%20device%20SN1" in (tmp_path / "device/device.key").read_text()
        line.run("lot", "enrol", "bulb", "--requests", device)
        image = tmp_path / "image.bin"
        image.write_bytes(bytes(range(256)) * 100)
        line.run("release", "publish", "bulb", str(image), "--version", "1.0")
        line.run("rollout", "set", "bulb", "--offer", "1=100%")
        events = line.run("agent", "once", "--home", device)
        assert '"confirmed"' in events
        assert '"delivery": "sent"' in events

        line.run(
            *("maker", "rotate-keys", "--role", "rollout", "--role", "care"),
            *("--algorithm", "p256", "--token", tokens.uri("acme")),
        )
        line.run("release", "withdraw", "bulb", "1", "--reason", "tried")
        line.run(
            *("operator", "blob-gone", image_digest(image), "--reason", "space"),
            *("--data", str(tmp_path / "node"), "--board", url),
        )
    finally:
        node.terminate()
        node.communicate(timeout=60)
    assert PIN not in line.said
    assert PIN not in "".join(
        path.read_text("latin-1")
        for path in tmp_path.rglob("*")
        if path.is_file() and "hsm" not in path.parts
    )


def image_digest(image: Path) -> str:
    from hashlib import sha256

    return sha256(image.read_bytes()).hexdigest()


def test_a_node_whose_token_is_away_says_so_and_makes_no_other_keys(tmp_path: Path) -> None:
    tokens = make_tokens(tmp_path / "hsm")
    tokens.add("board")
    line = Line(tmp_path, tokens)
    data = tmp_path / "node"
    line.run("node", "make-keys", "--data", str(data), "--token", tokens.uri("board"))
    again = line.run(
        "node", "make-keys", "--data", str(data), "--token", tokens.uri("board"), code=2
    )
    assert "holds keys already" in again["detail"]
    (tmp_path / "hsm" / "tokens").rename(tmp_path / "hsm" / "drawer")
    (tmp_path / "hsm" / "tokens").mkdir()
    gone = line.run("node", "run", "--data", str(data), "--listen", "127.0.0.1:0", code=75)
    assert "there is no token board" in gone["detail"]
    tokens.pin_file.unlink()
    (tmp_path / "hsm" / "tokens").rmdir()
    (tmp_path / "hsm" / "drawer").rename(tmp_path / "hsm" / "tokens")
    no_pin = line.run("node", "run", "--data", str(data), "--listen", "127.0.0.1:0", code=78)
    assert "cannot read the PIN file" in no_pin["detail"]
