# SPDX-License-Identifier: Apache-2.0
"""A thief who kept the release key of before the rotation posts a release with it."""

from hashlib import sha256
from pathlib import Path

from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.demo.scene import Scene
from fieldpost.errors import Rejected
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.device_class import Encoding
from fieldpost.records.release import Artifact, ReleaseRecord
from fieldpost.signers.keyfile import load_key_file

# Beyond what the maker has published.
_SEQUENCE = 9


def post_release(scene: Scene, stolen: Path) -> str:
    """Post it on the real board, in its one form: the name of the refusal, "" if it was taken."""
    signer = load_key_file(stolen, (scene.root / "passphrase").read_bytes)
    class_id, image = bytes.fromhex(scene.class_id), b"not the maker's firmware"
    digest = sha256(image).digest()
    artifact = Artifact(digest=digest, size=len(image), encoding=Encoding.IDENTITY, image=digest)
    record = ReleaseRecord(
        nonce=1,
        class_id=class_id,
        sequence=_SEQUENCE,
        version="evil",
        manifest=sha256(b"a manifest").digest(),
        envelope_bytes=300,
        artifacts=(artifact,),
    )
    statement = Statement(
        kind="release.publish",
        issuer=scene.maker,
        subject=subjects.of_release(class_id, _SEQUENCE),
        audience=str((scene.board or {})["board"]),
        payload=record.encode(),
    )
    try:
        with HttpClient(scene.url) as http:
            submit_post(http, sign_post(statement, [signer]).encode())
    except Rejected as refused:
        return refused.name
    return ""
