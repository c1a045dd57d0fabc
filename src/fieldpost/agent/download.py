# SPDX-License-Identifier: Apache-2.0
"""Fetching stored bytes by digest, from anybody, resumable, and unpacking them under a limit.

A download grows in one file named by its digest and is taken up where it stopped, also after a
power cut and from another source. Its digest judges it; wrong bytes blame the source, and the file
starts anew. What is unpacked never exceeds the size that the manifest signs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.agent.reading import CHUNK_BYTES, read_chunks
from fieldpost.agent.token_bucket import TokenBucket
from fieldpost.client.transport import HttpClient, split_url
from fieldpost.durable import OS, Disk, Partial, make_dirs, open_partial, remove
from fieldpost.errors import FieldpostError, Malformed, Unavailable, Untrusted
from fieldpost.records.device_class import Encoding

# What every zstd decoder should take (RFC 8878 §3.1.1.1.2), and what a device's memory allows.
_MOST_WINDOW_BYTES: Final = 8 * 1024 * 1024
_SYNC_BYTES: Final = 4 * 1024 * 1024
# A source may take so long, however slow the line is; what it gave until then is kept. One that
# drips does not keep a device from the next source for longer than the bytes are worth.
_LEAST_STREAM_S: Final = 120.0
_MOST_STREAM_S: Final = 3_600.0
_LEAST_BYTES_PER_S: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Stored bytes: their SHA-256, how many, and how they give the image."""

    digest: bytes
    size: int
    encoding: Encoding


@dataclass(slots=True, kw_only=True)
class Pace:
    """Keeps downloads to a rate. `uptime` and `pause` in seconds, as in `World`."""

    bucket: TokenBucket
    uptime: Callable[[], float]
    pause: Callable[[float], None]

    def keep(self, count: int) -> None:
        """`count` bytes came: wait until the next may."""
        self.bucket, wait_s = self.bucket.spend(count, now=self.uptime())
        if wait_s > 0:
            self.pause(wait_s)


def blob_urls(stored: Stored, *, sources: Sequence[str], boards: Sequence[str]) -> list[str]:
    """Where the bytes may lie: the maker's own prefixes (prefix/hex), then the board's nodes."""
    name = stored.digest.hex()
    urls = [f"{prefix.rstrip('/')}/{name}" for prefix in sources]
    urls += [f"{base.rstrip('/')}/v1/blobs/sha256/{name}" for base in boards]
    return list(dict.fromkeys(urls))


def download(
    folder: Path,
    stored: Stored,
    urls: Sequence[str],
    *,
    timeout_s: float = 10.0,
    pace: Pace | None = None,
    disk: Disk = OS,
) -> Path:
    """The file that holds exactly `stored`, received no faster than `pace` lets.

    Raises Untrusted("wrong-bytes") if a source sent others and no source the right ones,
    Unavailable; what arrived meanwhile is kept for the next time.
    """
    make_dirs(folder, disk=disk)
    path = folder / f"{stored.digest.hex()}.part"
    failures: list[FieldpostError] = []
    with open_partial(path, disk=disk) as file:
        if file.size > stored.size:
            file.truncate(0)
        for url in urls:
            try:
                resumed = file.size > 0
                if _fetch_right(file, path, stored, url, timeout_s=timeout_s, pace=pace):
                    return path
                # Whoever sent the first part may be the liar: nobody is blamed for another's
                # bytes, or one bad source could keep all good ones from ever delivering.
                if resumed and _fetch_right(
                    file, path, stored, url, timeout_s=timeout_s, pace=pace
                ):
                    return path
                failures.append(Untrusted("wrong-bytes", f"{url} sent other bytes than were named"))
            except FieldpostError as failure:
                failures.append(failure)
    blamed = [failure for failure in failures if isinstance(failure, Untrusted)]
    words = "; ".join(str(failure) for failure in blamed or failures) or "no source is known"
    raise Untrusted("wrong-bytes", words) if blamed else Unavailable(words, _wait(failures))


def _fetch_right(
    file: Partial, path: Path, stored: Stored, url: str, *, timeout_s: float, pace: Pace | None
) -> bool:
    """Whether the file is right with the rest from `url`; what is wrong is thrown away whole."""
    _fetch_rest(file, stored, url, timeout_s=timeout_s, pace=pace)
    if _digest(path) == stored.digest:
        return True
    file.truncate(0)
    return False


def _fetch_rest(
    file: Partial, stored: Stored, url: str, *, timeout_s: float, pace: Pace | None
) -> None:
    if file.size == stored.size:
        return
    base, path = split_url(url)
    # What this side holds back is not the other side's slowness.
    held_s = (stored.size - file.size) / pace.bucket.rate if pace is not None else 0.0
    with (
        HttpClient(base, timeout_s=timeout_s, user_agent="fieldpost-agent") as client,
        client.stream(
            path,
            offset=file.size,
            most_bytes=stored.size,
            total_s=patience_s(stored.size - file.size) + held_s,
        ) as body,
    ):
        if body.start != file.size:
            file.truncate(body.start)
        unsynced = 0
        try:
            for chunk in body.chunks:
                file.append(chunk)
                unsynced += len(chunk)
                if pace is not None:
                    pace.keep(len(chunk))
                if unsynced >= _SYNC_BYTES:
                    file.sync()
                    unsynced = 0
        finally:
            file.sync()
    if file.size != stored.size:
        raise Unavailable(f"{url} ended after {file.size} of {stored.size} bytes")


def patience_s(count: int) -> float:
    """How many seconds one source may take for `count` bytes."""
    return min(_LEAST_STREAM_S + count / _LEAST_BYTES_PER_S, _MOST_STREAM_S)


def _wait(failures: Iterable[FieldpostError]) -> int | None:
    waits = [f.retry_after_s for f in failures if isinstance(f, Unavailable)]
    asked = [seconds for seconds in waits if seconds is not None]
    return max(asked) if asked else None


def _digest(path: Path) -> bytes:
    hasher = sha256()
    for chunk in read_chunks(path):
        hasher.update(chunk)
    return hasher.digest()


def unpack(path: Path, encoding: Encoding, *, most_bytes: int) -> Iterator[bytes]:
    """The image in chunks of at most 64 KiB, never more than `most_bytes` in all.

    Raises Untrusted("wrong-digest") where the stored bytes give more, Malformed where they give
    nothing.
    """
    if encoding is Encoding.IDENTITY:
        yield from read_chunks(path)
        return
    import zstandard

    left = most_bytes
    decoder = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW_BYTES)
    try:
        with path.open("rb") as file, decoder.stream_reader(file) as reader:
            while chunk := reader.read(min(CHUNK_BYTES, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise Untrusted("wrong-digest", f"more than the {most_bytes} signed bytes")
                yield chunk
    except zstandard.ZstdError as error:
        raise Malformed(f"the artifact is no zstd that this device takes: {error}") from error
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def clean(folder: Path, *, keep: bytes | None = None, disk: Disk = OS) -> None:
    """Remove downloads, but for the one of digest `keep`. Raises Unavailable."""
    if not folder.is_dir():
        return
    for path in folder.glob("*.part"):
        if keep is None or path.name != f"{keep.hex()}.part":
            remove(path, disk=disk)
