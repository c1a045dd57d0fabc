# SPDX-License-Identifier: Apache-2.0
"""Every size and count that a record or post may have (docs/spec/limits.md lists them for others).

A rule refuses what exceeds them, so a verifier may rely on them for its buffers.
"""

from typing import Final

MAX_ENTRY_BYTES: Final = 65_535
MAX_SIGNATURES: Final = 32
MAX_NAME: Final = 64
MAX_ORIGIN: Final = 128
MAX_URL: Final = 256
MAX_URLS: Final = 8
MAX_TEXT: Final = 256
MAX_DOMAIN: Final = 253
MAX_OPERATORS: Final = 16
MAX_COSIGNER_KEYS: Final = 2
MAX_WITNESSES: Final = 16
# With the quorum of the largest board, 11 of 16, they fit into one bundle.
MAX_WITNESSES_NEEDED: Final = 5
MAX_ROOT_KEYS: Final = 8
MAX_ROLE_KEYS: Final = 8
MAX_CHANNELS: Final = 8
MAX_CLASSES: Final = 256
MAX_OFFERS: Final = 4
MAX_OFFER_LOTS: Final = 4
MAX_ARTIFACTS: Final = 32
MAX_LINK_URLS: Final = 4
MAX_ENVELOPE_BYTES: Final = 16_384
MAX_IMAGE_BYTES: Final = 2**32 - 1
MAX_LOT_DEVICES: Final = 2**20
MAX_STATUS_CHANGES: Final = 4_096
MAX_ADVISORY_ITEMS: Final = 32
MAX_SUMMARY_RELEASES: Final = 64
MAX_HEAD_BYTES: Final = 512
MAX_CHECKIN_BYTES: Final = 5_120
MAX_PROOF_BYTES: Final = 65_535 + 8_192
MAX_INTERVAL_S: Final = 366 * 86_400
MAX_DURATION_S: Final = 50 * 366 * 86_400
MAX_MAP_LEVELS: Final = 256
MAX_EDGE_HASHES: Final = 62
MAX_COSIGNATURES: Final = 16
FULL_THRESHOLD: Final = 2**32
