# SPDX-License-Identifier: Apache-2.0
"""Mix-and-match on the device: images of two releases, one too few, one that has no place."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.exec import Commands, ExecSlots
from fieldpost.agent.slots.files import FileSlots
from fieldpost.errors import Untrusted
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.images import filled, release_of
from fieldpost.testing.paper_node import PaperNode
from tests.attacks.paper_agent import AgentOnPaper

APP1, APP2 = b"the image that the factory put there", b"application of release 2"
RADIO1, RADIO2 = b"radio of release one", b"radio of release two"
NEW = release_of(2, APP2, radio=RADIO2)


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


def never() -> NoReturn:
    raise AssertionError("nothing boots here")


def test_a_mirror_cannot_pair_an_image_with_an_older_one(tmp_path: Path, node: PaperNode) -> None:
    """The new application beside the old, broken radio: each genuine, and never released so."""
    agent = AgentOnPaper(tmp_path, node, radio=RADIO1)
    node.publish(2, APP2, radio=RADIO2)
    node.blobs[NEW.digests[1].hex()] = RADIO1
    assert agent.live() == "wrong-bytes"
    assert agent.images() == [APP1, RADIO1]
    with without(Defence.STORED_BYTES, Defence.IMAGE):
        agent.live()
    assert agent.images() == [APP2, RADIO1]
    assert agent.memory().running == 2


def test_one_image_exchanged_before_the_trial_takes_the_whole_release_back(
    tmp_path: Path,
) -> None:
    for defences, boot in (((), Boot.REVERTED), ((Defence.IMAGE,), Boot.TRIAL)):
        root = tmp_path / boot.value
        slots = FileSlots(root, boot=never)
        slots.place_factory_images(release_of(1, APP1, radio=RADIO1), filled(APP1, RADIO1))
        slots.install(NEW, filled(APP2, RADIO2))
        slots.begin_trial()
        (root / "b" / "image-1").write_bytes(RADIO1)
        with without(*defences):
            assert slots.start() is boot
        runs = (root / "current" / "image").read_bytes()
        assert runs == (APP1 if boot is Boot.REVERTED else APP2)


def commands(root: Path, components: tuple[str, ...]) -> Commands:
    scripts = {
        "install": f'cp "$FIELDPOST_IMAGE" {root}/flashed',
        "activate": "true",
        "confirm": "true",
        "revert": "true",
        "state": "echo a",
    }
    told = {name: ("/bin/sh", "-c", text) for name, text in scripts.items()}
    return Commands(**told, components=components)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("components", "release"),
    [
        ((), NEW),
        (("image",), NEW),
        (("image", "radio", "boot"), NEW),
        (("image", "radio"), release_of(2, APP2)),
        (("image", "radio"), release_of(2, APP2, bootloader=RADIO2)),
    ],
    ids=["one more", "one more than named", "one too few", "radio left out", "another one"],
)
def test_commands_are_not_given_a_release_of_which_they_would_install_a_part(
    tmp_path: Path, components: tuple[str, ...], release: object
) -> None:
    """What would be reported as running would not be what runs."""
    slots = ExecSlots(tmp_path, commands(tmp_path, components), boot=never)
    with pytest.raises(Untrusted, match="unsupported"):
        slots.check_fits(release)  # type: ignore[arg-type]


def test_a_release_whose_installer_knows_one_image_only_is_not_installed(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node)
    settings = agent.home.config.read_text() + '[slot]\nkind = "exec"\n'
    for name in ("install", "activate", "confirm", "revert", "state"):
        (script,) = getattr(commands(tmp_path, ()), name)[2:]
        settings += f"{name} = ['/bin/sh', '-c', '''{script}''']\n"
    agent.home.config.write_text(settings)
    node.publish(2, APP2, radio=RADIO2)
    assert agent.live() == "unsupported"
    assert not (tmp_path / "flashed").exists()
    assert agent.memory().running == 1
    with without(Defence.COMPONENTS):
        agent.live()
    assert (tmp_path / "flashed").read_bytes() == APP2
