# SPDX-License-Identifier: Apache-2.0
"""Asking several addresses for the same thing until one gives what can be believed.

No address is trusted and none is blamed: whatever fails on the way (network, a login page, bytes
that do not parse, a server's refusal) makes the agent ask the next. Only two signed histories end
the search, because no address can forge those.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from fieldpost.checkin.older import GenuinelyOlder
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Misbehaviour, NotFound, Unavailable, Untrusted

T = TypeVar("T")
_USER_AGENT: Final = "fieldpost-agent"


class Sources:
    """The base URLs of a board, in the order in which they are tried."""

    def __init__(self, urls: Iterable[str], *, timeout_s: float = 10.0) -> None:
        self._timeout_s = timeout_s
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
            self._clients[url] = HttpClient(url, timeout_s=self._timeout_s, user_agent=_USER_AGENT)
        return self._clients[url]

    def ask(self, question: Callable[[HttpClient], T]) -> T:
        """The first answer that `question` does not refuse.

        Raises Misbehaviour at once; else, when nobody had a good answer, the gravest reason:
        Untrusted, then Untrusted("not-newer"), then NotFound where everybody says so, then
        Unavailable.
        """
        failures: list[FieldpostError] = []
        for url in list(self._urls):
            try:
                answer = question(self.client(url))
            except Misbehaviour:
                raise
            except FieldpostError as failure:
                failures.append(failure)
                continue
            self._urls.remove(url)
            self._urls.insert(0, url)
            return answer
        raise _gravest(failures)


def _mildness(failure: Untrusted) -> tuple[bool, bool]:
    # Of what is not newer, the one that somebody with keys wrote says more.
    return failure.reason == "not-newer", not isinstance(failure, GenuinelyOlder)


def _gravest(failures: list[FieldpostError]) -> FieldpostError:
    untrusted = [f for f in failures if isinstance(f, Untrusted)]
    if untrusted:
        return min(untrusted, key=_mildness)
    if failures and all(isinstance(f, NotFound) for f in failures):
        return failures[0]
    waits = [f.retry_after_s for f in failures if isinstance(f, Unavailable)]
    asked = [seconds for seconds in waits if seconds is not None]
    words = "; ".join(str(failure) for failure in failures) or "no address of the board is known"
    return Unavailable(words, max(asked) if asked else None)
