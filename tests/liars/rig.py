# SPDX-License-Identifier: Apache-2.0
"""A board of four operators, of which one to three lie, and everybody who looks at it.

    with standing(folder) as rig:
        rig.honest            URL of a real mirror process, which shows what a quorum published

The operators' keys, replicas and publishers are real; which blocks were decided is said here, so
that no consensus has to run (`tests/liars/test_cluster_liars.py` has a real one). Folders of a
device, a monitor and a mirror that know the board as it was before its newest batch are kept to be
copied: each lie meets watchers who remember the same.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_checkpoint
from fieldpost.engines.base import PublishedHead
from fieldpost.errors import FieldpostError
from fieldpost.node.mirrors import open_mirror
from fieldpost.records.device_class import Encoding
from fieldpost.records.head import Offer
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.maker import Role
from fieldpost.records.release import Artifact
from fieldpost.store.blobs import FileBlobs
from fieldpost.suit.envelope import Envelope, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.liar_histories import read_history
from fieldpost.testing.paper_cluster import PaperCluster
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import Checkpoint, parse_checkpoint
from tests.attacks.test_lying_source_attacks import serving, serving_folder
from tests.liars.programs import fieldpost, liar, program, until
from tests.ports import free_port
from tests.unit.engines.cometbft.devices import provisioning
from tests.unit.engines.cometbft.signing import signed
from tests.unit.engines.cometbft.signing import until as until_published

OPERATORS: Final = 4
IMAGES: Final = {n: f"the true image {n} ".encode() * 500 for n in (1, 2, 3)}


def head_at(url: str) -> Checkpoint | None:
    """What a node publishes; None where it does not answer."""
    try:
        with HttpClient(url, timeout_s=10) as http:
            note = http.fetch("/log/checkpoint", accept="text/plain")
    except FieldpostError:
        return None
    return parse_checkpoint(parse_note(note).text)


@dataclass
class Rig:
    """Everything that a lie needs. `before` and `now` are the heads before and after the batch that
    liars lie about; `stale` is the URL of one that shows `before` for ever."""

    folder: Path
    cluster: PaperCluster
    honest: str
    fleet: str
    witness: str
    stale: str
    before: Checkpoint
    now: Checkpoint

    def keys(self, members: int) -> list[str | Path]:
        """The options that give a liar the keys of the last operators."""
        folders = [one.data for one in self.cluster.operators[OPERATORS - members :]]
        return [word for folder in folders for word in ("--keys", folder)]

    def copy(self, name: str, case: str) -> Path:
        """A copy of what a watcher remembered before the newest batch."""
        target = self.folder / "cases" / case / name
        shutil.copytree(self.folder / "before" / name, target, symlinks=True)
        return target

    def device(self, case: str) -> Path:
        """The folder of a device that runs release 2."""
        return self.copy("device", case)


class _Founder:
    """Writes the board's posts, and puts manifests and images where the honest mirror has them."""

    def __init__(self, folder: Path) -> None:
        self.cluster = PaperCluster(folder / "operators", operators=4, time=int(time.time()) - 60)
        self.cluster.start()
        self.blobs = FileBlobs(folder / "honest" / "blobs")

    def release(self, sequence: int) -> list[bytes]:
        """A release that everybody is offered: two posts."""
        maker, image = self.cluster.maker, IMAGES[sequence]
        digest = sha256(image).digest()
        class_id = maker.class_id("tracker")
        component = Component((b"image",), digest, len(image))
        manifest = encode_manifest(Manifest(sequence, vendor_id(maker.id), class_id, (component,)))
        blocks = tuple(sign_manifest(manifest, one) for one in maker.quorum(Role.RELEASE))
        envelope = Envelope(manifest, blocks)
        self.blobs.save_manifest(envelope.digest, envelope.encode())
        self.blobs.upload(digest, 0, [image], size=len(image), maker=maker.id)
        self.blobs.finish(digest, size=len(image), maker=maker.id)
        artifact = Artifact(
            digest=digest, size=len(image), encoding=Encoding.IDENTITY, image=digest
        )
        offer = Offer(sequence=sequence, manifest=envelope.digest, threshold=FULL_THRESHOLD)
        return [
            maker.release_publish(
                sequence,
                manifest=envelope.digest,
                envelope_bytes=len(envelope.encode()),
                artifacts=(artifact,),
            ),
            maker.rollout_set(offer),
        ]

    def publish(self, *posts: bytes) -> PublishedHead:
        """A batch, signed by all four and published by the first."""
        self.cluster.block(*posts)
        size = self.cluster.state.size
        self.cluster.block()
        notes = [signed(one, size) for one in self.cluster.operators]
        first, second, *_ = self.cluster.operators
        for note in notes[1:]:
            first.publisher.add_note(size, note)
        # The second one is still to hear of the last, which liars stand for.
        for note in (notes[0], notes[2]):
            second.publisher.add_note(size, note)
        publisher = first.publisher
        until_published(
            publisher,
            lambda: (
                publisher.heads is not None
                and publisher.heads.newest.size == size
                and len(publisher.heads.newest.cosignatures) == OPERATORS
            ),
        )
        assert publisher.heads is not None
        return publisher.heads.newest


@contextmanager
def standing(folder: Path) -> Iterator[Rig]:
    """The whole rig, until the block ends."""
    with ExitStack() as stack:
        founder = _Founder(folder)
        cluster, maker = founder.cluster, founder.cluster.maker
        stack.callback(cluster.close)
        port = free_port()
        fleet = f"http://127.0.0.1:{port}"
        founder.publish(maker.registration(report_urls=(fleet,)))
        founder.publish(maker.class_set())
        provisioned = provisioning(cluster)
        for sequence in (1, 2):
            before = founder.publish(*founder.release(sequence))
        source = stack.enter_context(serving(serving_folder(cluster.operators[0].data)))
        journal = folder / "honest.log"
        words = ("mirror", "run", source, "--data", folder / "honest", "--every", "0.2")
        mirror = stack.enter_context(program(fieldpost(*words, "--listen", "127.0.0.1:0"), journal))
        honest = mirror.event("ready")["url"]
        witness = _witness(folder, honest, stack)
        trust = folder / "tracker.provisioning"
        trust.write_bytes(provisioned)
        reads = ("--board", honest, "--provisioning", trust, "--data", folder / "fleet")
        service = stack.enter_context(
            program(
                fieldpost("fleet", "run", *reads, "--listen", f"127.0.0.1:{port}"),
                folder / "fleet.log",
            )
        )
        assert service.event("ready")["url"] == fleet
        stale = stack.enter_context(
            program(liar("--lie", "stale", "--node", honest), folder / "stale.log")
        )
        _remember(folder, honest, maker.id.hex(), provisioned)
        stale_url = stale.event("ready")["url"]
        now = founder.publish(*founder.release(3))
        until(lambda: head_at(honest) == now.checkpoint, "the mirror has the newest head")
        until(lambda: b"op3" in _note(honest), "the mirror has all lines")
        ask_witness(witness, honest)
        yield Rig(
            folder=folder,
            cluster=cluster,
            honest=honest,
            fleet=fleet,
            witness=witness,
            stale=stale_url,
            before=before.checkpoint,
            now=now.checkpoint,
        )


def _note(url: str) -> bytes:
    with HttpClient(url, timeout_s=30) as http:
        return http.fetch("/log/checkpoint", accept="text/plain")


def _witness(folder: Path, board: str, stack: ExitStack) -> str:
    data = folder / "witness"
    with program(
        fieldpost("witness", "init", "--data", data, "--name", "w.test/1"), folder / "init.log"
    ) as made:
        assert made.wait() == 0
    words = ("witness", "run", "--data", data, "--board", board, "--listen", "127.0.0.1:0")
    running = stack.enter_context(program(fieldpost(*words), folder / "witness.log"))
    url: str = running.event("ready")["url"]
    return url


def ask_witness(witness: str, honest: str) -> None:
    """Have it cosign the true head, as nodes do."""
    true = read_history(open_mirror(honest))
    with HttpClient(witness, timeout_s=30) as http:
        lines = add_checkpoint(
            http, old_size=0, proof=(), note=_note(honest), state=true.state_proof()
        )
    assert lines


def _remember(folder: Path, honest: str, maker: str, provisioned: bytes) -> None:
    """What a device, a monitor and a mirror know before the newest batch."""
    before = folder / "before"
    home = Home(before / "device")
    image = folder / "old.bin"
    image.write_bytes(IMAGES[1])
    base = Base(images={"image": image}, sequence=1, version="1.0")
    enrol(home, provisioning=provisioned, serial="SN-1", base=base)
    home.config.write_text(f'urls = ["{honest}"]\nhealth_check = ["true"]\n')
    looks = (
        ("agent", "once", "--home", home.root),
        (*monitor_words(maker, before / "monitor"), "--board", honest),
    )
    for words in looks:
        with program(fieldpost(*words), folder / "before.log") as look:
            assert look.wait() == 0, (folder / "before.log").read_text()[-3000:]
    words = ("mirror", "run", honest, "--data", before / "mirror", "--listen", "127.0.0.1:0")
    with program(fieldpost(*words), folder / "before.log") as mirror:
        mirror.event("ready")


def monitor_words(maker: str, data: Path) -> tuple[str | Path, ...]:
    """One look of a monitor; its sources are still to be named."""
    return ("monitor", "run", "--maker", maker, "--data", data, "--once", "--stale-after", "86400")
