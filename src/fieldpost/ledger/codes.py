# SPDX-License-Identifier: Apache-2.0
"""Why a post is refused: numbered for programs, named for people (docs/spec/codes.md).

A number is never reused and never changes its meaning; new ones go to the end. Engines that
agree on results agree on these numbers, so which check comes first is part of a rule version.
"""

from enum import IntEnum
from typing import Self

from fieldpost.errors import Rejected


class Code(IntEnum):
    """A refusal. `label` is its kebab name, `meaning` the one line that the spec prints."""

    meaning: str

    def __new__(cls, number: int, meaning: str) -> Self:
        """A member with its number as value."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    @property
    def label(self) -> str:
        """The stable name: `key-taken`."""
        return self.name.lower().replace("_", "-")

    MALFORMED = 1, "The bytes are no post, or its payload is no record of its kind in its one form."
    UNKNOWN_KIND = 2, "The rule version in force has no rule for this kind of post."
    UNSUPPORTED = 3, "The record uses a part for which the rule version in force has no rule."
    WRONG_BOARD = 4, "The audience is not this board (genesis: not the record's origin)."
    WRONG_ISSUER = 5, "The issuer is not the maker or operator that the payload speaks for."
    WRONG_SUBJECT = 6, "The subject is not what the payload is about."
    UNKNOWN_MAKER = 7, "No such maker is registered."
    UNKNOWN_CLASS = 8, "No such class exists."
    TAKEN = 9, "What the post would create (board, maker, class, lot …) exists already."
    UNKNOWN_KEY = 10, "A signature is by a key that may not sign this post."
    BAD_SIGNATURE = 11, "A signature does not verify, or names another algorithm than its key's."
    THRESHOLD = 12, "Too few keys of the role signed, or several where one acts alone."
    SCOPE = 13, "A signing key is restricted to other classes, channels, fewer devices, or a date."
    NONCE = 14, "The nonce is not the one after the last that this key or role used."
    EPOCH = 15, "The epoch is not the one after the recorded link's."
    PREVIOUS_LINK = 16, "The digest is not that of the recorded link's entry."
    POSSESSION = 17, "A key that the record names has not signed the post that registers it."
    KEY_TAKEN = 18, "A key is in use on this board already, in some role, by somebody."
    BAD_KEY = 19, "A key is no point of the right group, so its signatures would mean nothing."
    NOT_ENDORSED = 20, "This board admits makers that an operator endorses, and none signed."
    BAD_POLICY = (
        21,
        "The device policy names another board, a link that is not, or other witnesses.",
    )
    TOO_MANY_CLASSES = 22, "The maker has as many classes as this board allows."
    SUPPORT_SHORTENED = 23, "The support end lies before the one already promised."
    CHANNEL_REMOVED = 24, "A channel of the class is missing; channels are only added."
    CLASS_ALGORITHMS = 25, "Devices of the class could not verify enough root or release keys."
    TOO_MANY_DEVICES = 26, "More devices would be enrolled than the class allows."
    SEQUENCE = 27, "The sequence is not above the newest, or beyond the class's window."
    MANIFEST_TAKEN = 28, "The manifest digest names a published release already."
    ENVELOPE_SIZE = 29, "The envelope is larger than devices of the class take."
    ENCODING = 30, "Devices of the class do not take an artifact's encoding or delta format."
    IMAGE_SIZE = 31, "An image is larger than devices of the class take."
    UNKNOWN_CHANNEL = 32, "The class has no such channel."
    INTERVAL = 33, "The interval lies outside the bounds of the class."
    UNKNOWN_RELEASE = 34, "The post names a sequence that was not published."
    WRONG_MANIFEST = 35, "An offer's digest is not that of the release with its sequence."
    WITHDRAWN = 36, "The post names a release that was withdrawn."
    BELOW_FLOOR = 37, "An offer lies below the class's floor and is no step towards it."
    UNKNOWN_LOT = 38, "The post names a lot that is not enrolled, or not in the class."
    COHORT_SHRINKS = 39, "A threshold lies below the highest that this release had in the channel."
    HEAD_SIZE = 40, "The head would be larger than the smallest devices can take."
    WRONG_LOT_ID = 41, "The lot id does not follow from maker, class, count and root."
    CLOSED = 42, "The board is closed, for good, and takes board.set alone; its record says where."
    RULE_VERSION = 43, "The rule version is neither the one in force nor the next one."
    DAILY_LIMIT = 44, "The role or operator has posted what this board allows in one UTC day."
    REGISTRATION_LIMIT = 45, "This board has admitted as many makers as it does in one UTC day."
    MOVED = 46, "The maker's policy names another board; its chain goes on there."
    BAD_CHAIN = 47, "The earlier links are no whole chain from the maker's id to this record."
    MAKER_EPOCH = 48, "The maker is at another epoch than the one that operators attest."
    DOMAIN_TAKEN = 49, "The domain is another maker's, and less than a quorum takes it away."
    FLOOR = 50, "The floor does not grow, or lies above what some channel offers to everyone."
    ADVISORY_NUMBER = 51, "The number is neither an advisory of the class nor the next one."
    UNKNOWN_DEVICE = 52, "The lot has no device with this index."
    STATUS = 53, "The device's status does not change so: it has it already, or it is final."
    PERIOD = 54, "The period ends in the future, or begins before the last summary's end."


def refusal(code: Code, detail: str = "") -> Rejected:
    """The error with which a rule refuses a post. `detail` says what to change, for people."""
    return Rejected(int(code), code.label, detail)
