# SPDX-License-Identifier: Apache-2.0
"""Judging an evidence file for a person: who signed two histories, a wrong state, or went back.

docs/spec/evidence.md says what each file proves.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from fieldpost.checkin.evidence import ProvenSplitView, Signer, decode_evidence, verify_evidence
from fieldpost.checkin.went_back import decode_went_back, verify_went_back
from fieldpost.cli.board_access import Board
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.tlog.note import MAX_NOTE_BYTES, parse_note
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import parse_checkpoint

_NOBODY: Final = "no key signed both; of those who signed one alone, somebody lied"


def judge_evidence(data: bytes, board_urls: tuple[str, ...]) -> dict[str, object]:
    """What the evidence proves, as facts. Nothing is asked of anybody if it carries its links.

    Raises Malformed, Untrusted for evidence that proves nothing, Misconfigured where the board's
    links are needed and no node is named that could have them.
    """
    evidence = decode_evidence(data)
    proven = verify_evidence(evidence, links=_missing_links(evidence.links, board_urls))
    return {"is": "evidence: this board showed two histories"} | facts_of(proven)


def judge_state_evidence(
    data: bytes, log: str | None, board_urls: tuple[str, ...]
) -> dict[str, object]:
    """What evidence of a wrong state proves, as facts; every rule is applied to the whole log.

    `log` is a folder or a URL with the board's log as far as the evidence does not carry it. Raises
    as `judge_evidence`, Unavailable where the log cannot be read.
    """
    from fieldpost.watch.state_evidence import decode_state_evidence, verify_state_evidence

    evidence = decode_state_evidence(data)
    where = log or next(iter(board_urls), None)
    if where is None:
        raise Misconfigured(
            f"this evidence needs the first {evidence.base} entries of the board's log, which any "
            "honest copy has: --log DIR|URL"
        )
    links = _missing_links(evidence.links, board_urls)
    proven = verify_state_evidence(evidence, first_entries(where, evidence.base), links=links)
    return {
        "is": "evidence: operators signed a state that the rules refuse",
        "board": proven.board,
        "head": f"size {proven.head.size}, root {proven.head.root.hex()}",
        "why": proven.why,
        "authors": _names(proven.authors) or ["no operator; a witness vouches for the log alone"],
    }


def judge_going_back(data: bytes, board_urls: tuple[str, ...]) -> dict[str, object]:
    """What evidence of going back proves, as facts. Raises as `judge_evidence`."""
    evidence = decode_went_back(data)
    proven = verify_went_back(evidence, links=_missing_links(evidence.links, board_urls))
    return {
        "is": "evidence: an older head was cosigned after a newer one",
        "board": proven.board,
        "older": f"size {proven.older.size}, root {proven.older.root.hex()}",
        "newer": f"size {proven.newer.size}, root {proven.newer.root.hex()}",
        "authors": _names(proven.authors),
    }


def _missing_links(carried: Sequence[bytes], board_urls: tuple[str, ...]) -> Sequence[bytes]:
    """The board's links for evidence that carries none: they prove themselves."""
    if carried:
        return ()
    if not board_urls:
        raise Misconfigured(
            "this evidence names its board without the board's links; name any node that has "
            "them: --board URL"
        )
    return Board(*board_urls).links("/v1/board")


def first_entries(where: str, count: int) -> list[bytes]:
    """The first entries of a log in a folder or behind a URL. Raises Unavailable, Untrusted."""
    from fieldpost.engines.mirrors import MirrorHead, MissingFile, entries_of, verify_tail
    from fieldpost.node.mirrors import open_mirror

    source = open_mirror(where)
    note = source.read("checkpoint", MAX_NOTE_BYTES)
    head = parse_checkpoint(parse_note(note).text)
    if head.size < count:
        raise Unavailable(f"{where} has {head.size} entries, {count} are needed; name another copy")
    try:
        tail = verify_tail(MirrorHead(source, note, head), CompactRange.empty())
        return list(islice(entries_of(tail, 0), count))
    except MissingFile as missing:
        raise missing.error from missing


def facts_of(proven: ProvenSplitView) -> dict[str, object]:
    """A proven split view as facts for people and scripts."""
    return {
        "board": proven.board,
        "heads": [
            f"size {head.size}, root {head.root.hex()}" for head in (proven.first, proven.second)
        ],
        "authors": _names(proven.authors) or [_NOBODY],
        "signed_the_first": _names(proven.signed_first),
        "signed_the_second": _names(proven.signed_second),
    }


def _names(signers: Iterable[Signer]) -> list[str]:
    """Each person once, however many keys."""
    return list(
        dict.fromkeys(
            f"{signer.role} {signer.name}{' (a former key)' if signer.is_former else ''}"
            for signer in signers
        )
    )
