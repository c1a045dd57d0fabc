# SPDX-License-Identifier: Apache-2.0
"""Proofs that others made, good and bad: transparency-dev/merkle's test data."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.proof import verify_consistency, verify_inclusion


def load_cases(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every case of a folder with its path; at least one, or the vectors are broken."""
    files = sorted(folder.rglob("*.json"))
    assert files
    return [(str(file.relative_to(folder)), json.loads(file.read_text())) for file in files]


def read_hashes(case: dict[str, Any]) -> list[bytes]:
    return [b64decode(item) for item in case["proof"] or []]


def test_inclusion_proofs_of_others_get_the_stated_verdict(shared_vectors: Path) -> None:
    verdicts = {}
    for name, case in load_cases(shared_vectors / "merkle" / "inclusion"):
        try:
            verify_inclusion(
                leaf_hash=b64decode(case["leafHash"]),
                index=case["leafIdx"],
                size=case["treeSize"],
                root=b64decode(case["root"]),
                path=read_hashes(case),
            )
        except (Malformed, Untrusted):
            verdicts[name] = True
        else:
            verdicts[name] = False
        assert verdicts[name] == case["wantErr"], name
    assert set(verdicts.values()) == {True, False}


def test_consistency_proofs_of_others_get_the_stated_verdict(shared_vectors: Path) -> None:
    """Where the vectors judge an old size of 0, any verdict but ours would believe nothing."""
    verdicts = {}
    for name, case in load_cases(shared_vectors / "merkle" / "consistency"):
        old_root, root = b64decode(case["root1"]), b64decode(case["root2"])
        try:
            verify_consistency(
                old_size=case["size1"],
                old_root=old_root,
                size=case["size2"],
                root=root,
                path=read_hashes(case),
            )
        except (Malformed, Untrusted):
            verdicts[name] = True
        else:
            verdicts[name] = False
        beyond = case["size1"] == 0 or len(old_root) != 32 or len(root) != 32
        assert verdicts[name] == (case["wantErr"] or beyond), name
    assert set(verdicts.values()) == {True, False}


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_no_vector_was_lost_on_the_way(shared_vectors: Path, kind: str) -> None:
    assert len(load_cases(shared_vectors / "merkle" / kind)) == 98
