# SPDX-License-Identifier: Apache-2.0
"""Codes are for programs of twenty years: numbers and names are pinned here, one by one."""

from fieldpost.ledger.codes import Code, refusal

PINNED = """
1 malformed, 2 unknown-kind, 3 unsupported, 4 wrong-board, 5 wrong-issuer, 6 wrong-subject,
7 unknown-maker, 8 unknown-class, 9 taken, 10 unknown-key, 11 bad-signature, 12 threshold,
13 scope, 14 nonce, 15 epoch, 16 previous-link, 17 possession, 18 key-taken, 19 bad-key,
20 not-endorsed, 21 bad-policy, 22 too-many-classes, 23 support-shortened, 24 channel-removed,
25 class-algorithms, 26 too-many-devices, 27 sequence, 28 manifest-taken, 29 envelope-size,
30 encoding, 31 image-size, 32 unknown-channel, 33 interval, 34 unknown-release,
35 wrong-manifest, 36 withdrawn, 37 below-floor, 38 unknown-lot, 39 cohort-shrinks,
40 head-size, 41 wrong-lot-id, 42 closed, 43 rule-version, 44 daily-limit,
45 registration-limit, 46 moved, 47 bad-chain, 48 maker-epoch, 49 domain-taken, 50 floor,
51 advisory-number, 52 unknown-device, 53 status, 54 period
"""


def test_numbers_and_names_never_change() -> None:
    pinned = [item.strip() for item in PINNED.split(",")]
    assert [f"{int(code)} {code.label}" for code in Code] == pinned


def test_every_code_says_in_one_line_what_it_means() -> None:
    for code in Code:
        assert code.meaning.endswith(".")
        assert "\n" not in code.meaning


def test_a_refusal_carries_number_name_and_advice() -> None:
    error = refusal(Code.NONCE, "the next one is 2")
    assert (error.code, error.name, error.detail) == (14, "nonce", "the next one is 2")
