# SPDX-License-Identifier: Apache-2.0
"""Judging an evidence file for a person: who signed two histories (docs/spec/evidence.md)."""

from collections.abc import Iterable
from typing import Final

from fieldpost.checkin.evidence import ProvenSplitView, Signer, decode_evidence, verify_evidence
from fieldpost.cli.board_access import Board
from fieldpost.errors import Misconfigured, Untrusted

_NOBODY: Final = "no key signed both; of those who signed one alone, somebody lied"


def judge_evidence(data: bytes, board_urls: tuple[str, ...]) -> dict[str, object]:
    """What the evidence proves, as facts. Nothing is asked of anybody if it carries its links.

    Raises Malformed, Untrusted for evidence that proves nothing, Misconfigured where the board's
    links are needed and no node is named that could have them.
    """
    evidence = decode_evidence(data)
    try:
        proven = verify_evidence(evidence)
    except Untrusted as error:
        if error.reason != "missing-links":
            raise
        if not board_urls:
            raise Misconfigured(
                "this evidence names its board without the board's links; name any node that has "
                "them: --board URL"
            ) from error
        proven = verify_evidence(evidence, links=Board(*board_urls).links("/v1/board"))
    return {"is": "evidence: this board showed two histories"} | facts_of(proven)


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
