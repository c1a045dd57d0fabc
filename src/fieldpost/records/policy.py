# SPDX-License-Identifier: Apache-2.0
"""A maker's policy for its devices: which board, how fresh, and the way out (docs/spec/policy.md).

{1: board id, 2: [url…], 3: board epoch, 4: board link digest, 5: least size,
 6: [witness vkey…], 7: witnesses needed, 8: max_age s, 9: grace s, 10: [link url…]}
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.fields import Fields, Reading, check_distinct, text_of
from fieldpost.records.identifiers import origin_of
from fieldpost.records.vkeys import read_cosigner, vkey_value
from fieldpost.tlog.note import VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePolicy:
    """What a device accepts from a board. Times in seconds; grace 0 = never leave by itself."""

    board: str
    urls: tuple[str, ...]
    board_epoch: int
    board_link: bytes
    least_size: int
    witnesses: tuple[VerifierKey, ...] = ()
    witnesses_needed: int = 0
    max_age_s: int = 7 * 86_400
    grace_s: int = 90 * 86_400
    link_urls: tuple[str, ...] = ()

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        return {
            1: self.board,
            2: list(self.urls),
            3: self.board_epoch,
            4: self.board_link,
            5: self.least_size,
            6: [vkey_value(key) for key in self.witnesses],
            7: self.witnesses_needed,
            8: self.max_age_s,
            9: self.grace_s,
            10: list(self.link_urls),
        }


def read_policy(value: cbor.Value, reading: Reading) -> DevicePolicy:
    """Read a device policy. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(value, "device policy")
    url = text_of(limits.MAX_URL, "a URL")
    policy = DevicePolicy(
        board=fields.text(1, most=limits.MAX_ORIGIN + 33),
        urls=fields.each(2, url, least=1, most=limits.MAX_URLS),
        board_epoch=fields.uint(3),
        board_link=fields.octets(4, length=32),
        least_size=fields.uint(5),
        witnesses=fields.each(6, read_cosigner, most=limits.MAX_WITNESSES),
        witnesses_needed=fields.uint(7, most=limits.MAX_WITNESSES_NEEDED),
        max_age_s=fields.uint(8, least=60, most=limits.MAX_DURATION_S),
        grace_s=fields.uint(9, most=limits.MAX_DURATION_S),
        link_urls=fields.each(10, url, most=limits.MAX_LINK_URLS),
    )
    fields.close(reading)
    origin_of(policy.board)
    if policy.witnesses_needed > len(policy.witnesses):
        raise Malformed("device policy: more witnesses needed than named")
    check_distinct(tuple(key.key_id for key in policy.witnesses), "witnesses' key ids")
    check_distinct(tuple(key.public for key in policy.witnesses), "witnesses' keys")
    return policy
