# SPDX-License-Identifier: Apache-2.0
"""A device that slept through a rotation is updated from a file, and asked whether it is genuine.

Real processes: node, maker, and the device's agent, which executes itself to boot a new image.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.maker_cli import Maker, make_maker, running_node

pytestmark = pytest.mark.e2e


def answer_of(maker: Maker, *arguments: str | Path) -> tuple[int, Any]:
    """Exit code and JSON of a command that answers by its exit code."""
    done = maker(*arguments, "--json")
    return done.code, json.loads(done.out)


def test_a_device_follows_a_rotation_from_a_file_and_is_checked(tmp_path: Path) -> None:
    with running_node(tmp_path / "node") as url:
        maker = make_maker(tmp_path / "maker", url)
        provisioning, device = tmp_path / "bulb.provisioning", tmp_path / "device"
        maker.must("class", "trust", "bulb", "--out", provisioning)
        made = maker.must(
            *("agent", "enrol", "--home", device, "--provisioning", provisioning),
            *("--serial", "SN1"),
        )
        maker.must("lot", "enrol", "bulb", "--requests", device)
        for version in ("1.0", "1.1"):
            image = tmp_path / f"{version}.bin"
            image.write_text(f"image {version}")
            maker.must("release", "publish", "bulb", image, "--version", version)
        maker.must("rollout", "set", "bulb", "--offer", "2=100%", "--offer", "1=100%")

        rotated = maker.must("maker", "rotate-keys", "--role", "all", "--no-passphrase")
        assert rotated["signed_again"] == ["bulb 2", "bulb 1"]
        maker.must("release", "export", "bulb", "--out", tmp_path / "bulb.update")
        applied = maker("agent", "apply", "--home", device, tmp_path / "bulb.update", "--json")
        assert applied.code == 0, applied.err
        status = maker.must("agent", "status", "--home", device)
        assert status["sequence"] == 2, (status, applied.out)

        challenge = maker.must("device", "challenge")["challenge"]
        proof = maker.must("agent", "prove", "--home", device, "--challenge", challenge)["proof"]
        check = ("device", "check", made["device_id"], "--provisioning", provisioning)
        asked = ("--running", "2", "--challenge", challenge, "--proof", proof)
        code, found = answer_of(maker, *check, *asked)
        assert code == 0, found
        assert found["genuine"] == "yes"

        maker.must("device", "revoke", made["device_id"])
        code, found = answer_of(maker, *check, *asked)
        assert (code, found["valid"], found["status"]) == (1, "no", "revoked")
