# SPDX-License-Identifier: Apache-2.0
"""Asking several addresses for the same thing until one gives what can be believed.

No address is trusted and none is blamed: whatever fails on the way (network, a login page, bytes
that do not parse, a server's refusal) makes the client ask the next. Only two signed histories end
the search, because no address can forge those. Whoever answered last is asked first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, TypeVar

from fieldpost.checkin.older import GenuinelyOlder
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Misbehaviour, NotFound, Unavailable, Untrusted

T = TypeVar("T")
SILENCE_S: Final = 10.0
TOTAL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What one address had to say that was no answer."""

    url: str
    error: FieldpostError


def gravest(failures: Sequence[Failure]) -> FieldpostError:
    """What a device makes of it that nobody had a good answer: Untrusted, then
    Untrusted("not-newer"), then NotFound where everybody says so, then Unavailable."""
    errors = [failure.error for failure in failures]
    untrusted = [error for error in errors if isinstance(error, Untrusted)]
    if untrusted:
        return min(untrusted, key=_mildness)
    if errors and all(isinstance(error, NotFound) for error in errors):
        return errors[0]
    words = "; ".join(map(str, errors)) or "no address of the board is known"
    return Unavailable(words, longest_wait_s(errors))


def longest_wait_s(errors: Iterable[FieldpostError]) -> int | None:
    """The longest time that anybody asked for."""
    waits = [error.retry_after_s for error in errors if isinstance(error, Unavailable)]
    return max((seconds for seconds in waits if seconds is not None), default=None)


def spread(urls: Iterable[str], who: bytes) -> tuple[str, ...]:
    """The same addresses in an order of `who`'s own, which stays.

    A fleet asks all of them equally often, and those whose first one dies turn to different ones
    (rendezvous hashing).
    """
    return tuple(sorted(urls, key=lambda url: sha256(who + url.encode()).digest()))


class Sources:
    """The base URLs of a board, in the order in which they are tried.

    `conclude` makes one error of what all of them failed with. Times in seconds, as `HttpClient`.
    """

    def __init__(
        self,
        urls: Iterable[str],
        *,
        timeout_s: float = SILENCE_S,
        total_s: float = TOTAL_S,
        user_agent: str = "fieldpost-agent",
        conclude: Callable[[Sequence[Failure]], FieldpostError] = gravest,
    ) -> None:
        self._timeout_s = timeout_s
        self._total_s = total_s
        self._user_agent = user_agent
        self._conclude = conclude
        self._clients: dict[str, HttpClient] = {}
        self._urls: list[str] = []
        self.replace(urls)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where is asked next, in order."""
        return tuple(self._urls)

    def replace(self, urls: Iterable[str]) -> None:
        """Use these from now on; one that worked last stays in front if it is among them."""
        wanted = list(dict.fromkeys(url.rstrip("/") for url in urls))
        first = self._urls[:1]
        self._urls = [url for url in first if url in wanted]
        self._urls += [url for url in wanted if url not in self._urls]

    def close(self) -> None:
        """Give the connections back."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def client(self, url: str) -> HttpClient:
        """The client of one base URL. Raises Misconfigured for what is no URL."""
        if url not in self._clients:
            self._clients[url] = HttpClient(
                url,
                timeout_s=self._timeout_s,
                total_s=self._total_s,
                user_agent=self._user_agent,
            )
        return self._clients[url]

    def ask(self, question: Callable[[HttpClient], T]) -> T:
        """The first answer that `question` does not refuse.

        Raises Misbehaviour at once; else, when nobody had a good answer, what `conclude` makes of
        it.
        """
        failures: list[Failure] = []
        for url in list(self._urls):
            try:
                answer = question(self.client(url))
            except Misbehaviour:
                raise
            except FieldpostError as failure:
                failures.append(Failure(url, failure))
                continue
            if url in self._urls:
                self._urls.remove(url)
                self._urls.insert(0, url)
            return answer
        raise self._conclude(failures)


def _mildness(failure: Untrusted) -> tuple[bool, bool]:
    # Of what is not newer, the one that somebody with keys wrote says more.
    return failure.reason == "not-newer", not isinstance(failure, GenuinelyOlder)
