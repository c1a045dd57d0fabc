# SPDX-License-Identifier: Apache-2.0
"""Evidence against another operator: DATA/evidence/split-view-<16 hex>.evidence, one for each.

The file is what `fieldpost verify` judges (docs/spec/evidence.md); it carries no links, which any
node has.
"""

import logging
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.checkin.evidence import make_evidence
from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.errors import Misbehaviour
from fieldpost.journal import tell

EVIDENCE: Final = "evidence"

_log = logging.getLogger(__name__)


class PeerEvidence:
    """Keeps what operators of `board` are convicted by, below `data`."""

    def __init__(self, data: Path, board: str, *, disk: Disk = OS) -> None:
        self._folder = data / EVIDENCE
        self._board = board
        self._disk = disk

    def keep(self, peer: str, fork: Misbehaviour) -> None:
        """Write the two heads that `fork` carries, and tell of it. Raises Unavailable."""
        ours, theirs = fork.evidence
        tell(_log, "peer-forks", peer=peer, error=fork)
        make_dirs(self._folder, disk=self._disk)
        evidence = make_evidence(self._board, (ours, theirs), links=())
        # A name may have slashes in it; one file for each peer is enough to convict it.
        name = sha256(peer.encode()).hexdigest()[:16]
        path = self._folder / f"split-view-{name}.evidence"
        write_file(path, evidence.encode(), disk=self._disk)
