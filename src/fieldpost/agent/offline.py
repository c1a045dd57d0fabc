# SPDX-License-Identifier: Apache-2.0
"""An update from one file instead of the network: the same questions, answered from the file.

Nothing is believed for standing in it; `OfflineReader` verifies as `BoardReader` does, and what is
copied out of it is judged by digest.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Self, TypeVar

from fieldpost.agent.board import Standpoint
from fieldpost.agent.download import Stored
from fieldpost.agent.reading import CHUNK_BYTES
from fieldpost.agent.trust import judge_check_in
from fieldpost.checkin.offline_bundle import OfflineBundle, Span, read_offline_bundle
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.client.sources import Sources
from fieldpost.durable import OS, Disk, make_dirs, open_partial
from fieldpost.errors import Malformed, NotFound, Unavailable

T = TypeVar("T")


class OfflineUpdate:
    """The file at `path`. It may lie on a medium that is pulled out at any moment."""

    def __init__(self, path: Path, bundle: OfflineBundle) -> None:
        self._path = path
        self.bundle = bundle

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read all but the artifacts. Raises Malformed, Unavailable."""
        try:
            with path.open("rb") as file:

                def read(offset: int, count: int) -> bytes:
                    file.seek(offset)
                    return file.read(count)

                return cls(path, read_offline_bundle(read, path.stat().st_size))
        except OSError as error:
            raise Unavailable(f"cannot read {path}: {error.strerror}") from error

    def copy(self, form: Stored, folder: Path, *, disk: Disk = OS) -> Path:
        """A file below `folder` that holds exactly `form`. Raises NotFound, Unavailable."""
        make_dirs(folder, disk=disk)
        path = folder / f"{form.digest.hex()}.part"
        for span in self.bundle.artifacts:
            if span.size != form.size:
                continue
            hasher = sha256()
            with open_partial(path, disk=disk) as file:
                file.truncate(0)
                for chunk in self._chunks(span):
                    hasher.update(chunk)
                    file.append(chunk)
                file.sync()
                if _is_form(form, hasher.digest()):
                    return path
                file.truncate(0)
        raise NotFound(f"{self._path.name} holds no artifact {form.digest.hex()}")

    def _chunks(self, span: Span) -> Iterator[bytes]:
        left = span.size
        try:
            with self._path.open("rb") as file:
                file.seek(span.offset)
                while chunk := file.read(min(left, CHUNK_BYTES)):
                    left -= len(chunk)
                    yield chunk
        except OSError as error:
            raise Unavailable(f"cannot read {self._path}: {error.strerror}") from error
        if left:
            raise Unavailable(f"{self._path} became shorter")


class OfflineReader:
    """The reading side of a board, from what was exported."""

    def __init__(self, bundle: OfflineBundle) -> None:
        self._bundle = bundle
        self.sources = Sources(())

    def check_in(
        self,
        standpoint: Standpoint,
        *,
        class_id: bytes,
        channel: str,
        is_fresh: Callable[[Verified], bool],  # noqa: ARG002 - there is no other place to ask
    ) -> Verified:
        """The check-in, verified with the links beside it. Raises Untrusted, Misbehaviour."""
        return judge_check_in(
            standpoint.belief,
            self._bundle.check_in,
            class_id=class_id,
            channel=channel,
            now=standpoint.now,
            least_time=standpoint.least_time,
            algorithms=standpoint.algorithms,
            board_links=_newer(self._bundle.board_links, standpoint.belief.board_link),
            maker_links=_newer(self._bundle.maker_links, standpoint.belief.maker_link),
        )

    def read_record(self, standpoint: Standpoint, key: bytes) -> Verified:
        """The release's record, proven. Raises NotFound if the file has none, and as `check_in`."""
        if self._bundle.release_proof is None:
            raise NotFound("the file holds no proof of a record")
        return verify_bundle(
            standpoint.belief,
            self._bundle.release_proof,
            key=key,
            head=False,
            now=standpoint.now,
            least_time=standpoint.least_time,
            algorithms=standpoint.algorithms,
        )

    def fetch(self, path: str, *, most_bytes: int, judge: Callable[[bytes], T]) -> T:
        """What `judge` makes of the manifest's envelope, the one thing that is asked for."""
        if not path.startswith("/v1/manifests/"):
            raise NotFound(f"the file holds no {path}")
        if len(self._bundle.envelope) > most_bytes:
            raise Malformed(f"an envelope of more than {most_bytes} bytes")
        return judge(self._bundle.envelope)


def _is_form(form: Stored, digest: bytes) -> bool:
    return digest == form.digest


def _newer(entries: tuple[bytes, ...], known: bytes) -> tuple[bytes, ...]:
    """The entries after the one with this digest; all of them where it is not among them."""
    digests = [sha256(entry).digest() for entry in entries]
    return entries[digests.index(known) + 1 :] if known in digests else entries
