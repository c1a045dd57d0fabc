# SPDX-License-Identifier: Apache-2.0
"""What an agent asks a board for: check-ins, proofs of records, links, manifests.

Everything is verified here or named by a digest that was; nothing depends on whom was asked. A
bundle that is ahead of what the device knows of board or maker needs the links in between: they
are fetched from the same address and the bundle is verified again.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from fieldpost import cbor
from fieldpost.agent.trust import judge_check_in
from fieldpost.checkin.belief import Belief
from fieldpost.checkin.chains import LEAST_PART_BYTES, MissingLinks
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.client.sources import Sources
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Malformed, Misbehaviour, Unavailable, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records.limits import MAX_CHECKIN_BYTES, MAX_PROOF_BYTES

T = TypeVar("T")
_MOST_LINK_BYTES: Final = 4 * 1024 * 1024
_MOST_LINKS: Final = 16_384
# Of one chain, each verified before the next is asked for: only true ones are ever kept.
_MOST_PARTS: Final = 64

# verify(board links, maker links)
_Verify = Callable[[tuple[bytes, ...], tuple[bytes, ...]], Verified]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standpoint:
    """From where a device judges. `now` is what its clock says, in Unix
    seconds; whether that can be a clock is judged with the rest. Keys of other `algorithms` than
    those that the device was provisioned to verify are strangers to it."""

    belief: Belief
    now: int
    least_time: int
    algorithms: Collection[Algorithm]


class Reader(Protocol):
    """Whom an agent asks: a board over the network, or a file that was exported from one."""

    sources: Sources

    def check_in(
        self,
        standpoint: Standpoint,
        *,
        class_id: bytes,
        channel: str,
        is_fresh: Callable[[Verified], bool],
    ) -> Verified:
        """A verified check-in, fresh if there is one. Raises Untrusted, Misbehaviour."""
        ...

    def read_record(self, standpoint: Standpoint, key: bytes) -> Verified:
        """What the state map holds under `key`, proven; absence included."""
        ...

    def fetch(self, path: str, *, most_bytes: int, judge: Callable[[bytes], T]) -> T:
        """What `judge` makes of the bytes at `path`."""
        ...


class BoardReader:
    """The reading side of a board, over several addresses."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def check_in(
        self,
        standpoint: Standpoint,
        *,
        class_id: bytes,
        channel: str,
        is_fresh: Callable[[Verified], bool],
    ) -> Verified:
        """A verified check-in, fresh if any address has one, else the newest.

        Raises Untrusted, Misbehaviour, Unavailable.
        """
        old: list[Verified] = []
        path = f"/v1/checkin/{class_id.hex()}/{channel}"

        def question(client: HttpClient) -> Verified:
            data = _fetch(client, path, MAX_CHECKIN_BYTES)

            def verify(board: tuple[bytes, ...], maker: tuple[bytes, ...]) -> Verified:
                return judge_check_in(
                    standpoint.belief,
                    data,
                    class_id=class_id,
                    channel=channel,
                    now=standpoint.now,
                    least_time=standpoint.least_time,
                    algorithms=standpoint.algorithms,
                    board_links=board,
                    maker_links=maker,
                )

            verified = _with_links(client, standpoint.belief, verify)
            if is_fresh(verified):
                return verified
            # A cache that outlived its board must not hide the address that did not.
            old.append(verified)
            raise Untrusted("stale", f"{client.base_url} shows nothing within max_age")

        try:
            return self.sources.ask(question)
        except FieldpostError as failure:
            if isinstance(failure, Misbehaviour) or not old:
                raise
            return max(old, key=lambda verified: (verified.belief.size, verified.timestamp))

    def read_record(self, standpoint: Standpoint, key: bytes) -> Verified:
        """What the state map holds under `key`, proven; absence included. Raises as `check_in`."""

        def question(client: HttpClient) -> Verified:
            # Naming the maker asks for a tree that satisfies its policy.
            path = f"/v1/proof/{key.hex()}?maker={standpoint.belief.maker.hex()}"
            data = _fetch(client, path, MAX_PROOF_BYTES)

            def verify(board: tuple[bytes, ...], maker: tuple[bytes, ...]) -> Verified:
                return verify_bundle(
                    standpoint.belief,
                    data,
                    key=key,
                    head=False,
                    now=standpoint.now,
                    least_time=standpoint.least_time,
                    algorithms=standpoint.algorithms,
                    board_links=board,
                    maker_links=maker,
                )

            return _with_links(client, standpoint.belief, verify)

        return self.sources.ask(question)

    def fetch(self, path: str, *, most_bytes: int, judge: Callable[[bytes], T]) -> T:
        """What `judge` makes of the bytes at `path`. Raises what it raises, and as `check_in`."""

        def question(client: HttpClient) -> T:
            data = _fetch(client, path, most_bytes)
            return _parsed(client, lambda: judge(data))

        return self.sources.ask(question)


def _fetch(client: HttpClient, path: str, most_bytes: int) -> bytes:
    try:
        return client.fetch(path, most_bytes=most_bytes)
    except (Untrusted, Malformed) as refusal:
        # A server's word about us, which anybody on the way can forge.
        raise Unavailable(f"{client.base_url} refuses: {refusal}") from refusal


def _parsed(client: HttpClient, read: Callable[[], T]) -> T:
    try:
        return read()
    except Malformed as error:
        raise Unavailable(f"{client.base_url} sends what does not parse: {error}") from error


def _with_links(client: HttpClient, belief: Belief, verify: _Verify) -> Verified:
    chains = {
        "board": _Chain(client, "/v1/board"),
        "maker": _Chain(client, f"/v1/makers/{belief.maker.hex()}/links"),
    }
    while True:
        try:
            return _parsed(client, lambda: verify(chains["board"].links, chains["maker"].links))
        except MissingLinks as missing:
            chain = chains[missing.record]
            if chain.is_whole:
                words = f"the {missing.record}'s links lead elsewhere"
                raise Untrusted("missing-links", words) from missing
            chain.fetch_more(missing.since)


class _Chain:
    """The links of one record as far as they are here, from one address."""

    def __init__(self, client: HttpClient, place: str) -> None:
        self._client = client
        self._place = place
        self._parts = 0
        self.links: tuple[bytes, ...] = ()
        self.is_whole = False

    def fetch_more(self, since: int) -> None:
        """The next part of the chain that begins after epoch `since`; epochs go up by one."""
        path = f"{self._place}?since={since + len(self.links)}"
        data = _fetch(self._client, path, _MOST_LINK_BYTES)
        self.links += _parsed(
            self._client, lambda: cbor.decode_byte_strings(data, most=_MOST_LINKS)
        )
        self._parts += 1
        self.is_whole = len(data) < LEAST_PART_BYTES or self._parts == _MOST_PARTS
