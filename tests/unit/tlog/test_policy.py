# SPDX-License-Identifier: Apache-2.0
"""Policies: the file, the quorum, and the time that a quorum vouches for."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import (
    Cosignature,
    cosign,
    cosigned_message,
    cosigner_key,
    format_cosignature,
)
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, format_note, format_vkey
from fieldpost.tlog.policy import (
    Group,
    Log,
    Policy,
    Witness,
    format_policy,
    parse_policy,
    threshold_timestamp,
)

ORIGIN = "board.example/1"
HEAD = Checkpoint(ORIGIN, 5, bytes(range(32)))
LOG = DeterministicSigner(Algorithm.ED25519, "log")
LOG_KEY = VerifierKey(ORIGIN, ED25519, LOG.public_key.raw)
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
SIGNERS = {name: DeterministicSigner(Algorithm.ED25519, name) for name in NAMES}
KEYS = {name: cosigner_key(f"{name}.example", SIGNERS[name].public_key) for name in NAMES}
WITNESS_LINES = "".join(f"witness {name} {format_vkey(KEYS[name])}\n" for name in NAMES)
TEXT = f"""# two organisations
log {format_vkey(LOG_KEY)} https://board.example/log/

{WITNESS_LINES}
\tgroup X 2  X1 X2\tX3
group Y any Y1 Y2 Y3
group X-and-Y all X Y
quorum X-and-Y
"""
POLICY = parse_policy(TEXT.encode())


def note(timestamps: dict[str, int], *, signers: Sequence[DeterministicSigner] = (LOG,)) -> bytes:
    lines = [sign_checkpoint(HEAD, name=ORIGIN, signer=signer) for signer in signers]
    for name, timestamp in timestamps.items():
        lines.append(cosigned(name, timestamp))
    return format_note(Note(format_checkpoint(HEAD), tuple(lines)))


def cosigned(name: str, timestamp: int) -> NoteSignature:
    key = KEYS[name]
    made = cosign(HEAD, name=key.name, signer=SIGNERS[name], timestamp=timestamp)
    return format_cosignature(made, name=key.name)


def test_the_file_reads_as_it_is_written() -> None:
    expected = Policy(
        logs=(Log(LOG_KEY, "https://board.example/log/"),),
        witnesses=tuple(Witness(name, KEYS[name]) for name in NAMES),
        groups=(
            Group("X", 2, ("X1", "X2", "X3")),
            Group("Y", 1, ("Y1", "Y2", "Y3")),
            Group("X-and-Y", 2, ("X", "Y")),
        ),
        quorum="X-and-Y",
    )
    assert parse_policy(TEXT.encode()) == expected
    assert parse_policy(format_policy(POLICY)) == POLICY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quorum none",
        "quorum none\r\n",
        "quorum none\nquorum none\n",
        "quorum X\n",
        "nonsense\nquorum none\n",
        "quorum\n",
        "quorum none none\n",
        "log\nquorum none\n",
        f"log {format_vkey(LOG_KEY)} a b\nquorum none\n",
        f"log {format_vkey(LOG_KEY)}\nlog {format_vkey(LOG_KEY)}\nquorum none\n",
        f"witness none {format_vkey(KEYS['X1'])}\nquorum none\n",
        f"witness W {format_vkey(LOG_KEY)}\nquorum W\n",
        f"quorum X1\n{WITNESS_LINES}",
        f"group X 1 X1\n{WITNESS_LINES}quorum X\n",
        f"{WITNESS_LINES}{WITNESS_LINES}quorum X1\n",
        f"{WITNESS_LINES}witness Z {format_vkey(KEYS['X1'])}\nquorum X1\n",
        f"{WITNESS_LINES}group X1 1 X2\nquorum X1\n",
        f"{WITNESS_LINES}group X 1\nquorum X\n",
        f"{WITNESS_LINES}group X 0 X1\nquorum X\n",
        f"{WITNESS_LINES}group X 2 X1\nquorum X\n",
        f"{WITNESS_LINES}group X 01 X1\nquorum X\n",
        f"{WITNESS_LINES}group X most X1\nquorum X\n",
        f"{WITNESS_LINES}group X 1 X1 X1\nquorum X\n",
        f"{WITNESS_LINES}group X 1 X\nquorum X\n",
        f"{WITNESS_LINES}group X 1 none\nquorum X\n",
        f"{WITNESS_LINES}group X 1 X1\ngroup Z 1 X1\nquorum X\n",
        f"{WITNESS_LINES}group X 1 Z\ngroup Z 1 X1\nquorum X\n",
    ],
)
def test_a_file_that_breaks_a_rule_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_policy(text.encode())


def test_names_and_comments_are_opaque_octets() -> None:
    vkey = format_vkey(KEYS["X1"]).encode()
    policy = parse_policy(b"# \xff\nwitness K\xff " + vkey + b"\nquorum K\xff\n")
    assert format_policy(policy) == b"witness K\xff " + vkey + b"\nquorum K\xff\n"
    with pytest.raises(Malformed):
        parse_policy(b"witness K\xff " + vkey + b"\nquorum K\xfe\n")
    with pytest.raises(Malformed):
        parse_policy(b"log \xff" + vkey + b"\nquorum none\n")


def test_names_and_urls_that_no_file_can_carry_are_malformed() -> None:
    for name in ("", "a b", "a\n", "\ud800"):
        with pytest.raises(Malformed):
            Policy(witnesses=(Witness(name, KEYS["X1"]),))
    for url in ("", "a b"):
        with pytest.raises(Malformed):
            Policy(logs=(Log(LOG_KEY, url),))


def test_a_policy_of_32_of_each_is_supported() -> None:
    logs = tuple(Log(VerifierKey(f"l{i}", ED25519, bytes([i]) * 32)) for i in range(32))
    signers = [DeterministicSigner(Algorithm.ED25519, str(i)) for i in range(32)]
    keys = [cosigner_key("w", signer.public_key) for signer in signers]
    witnesses = tuple(Witness(f"w{i}", key) for i, key in enumerate(keys))
    groups = [Group("g0", 1, ("w0",))]
    groups += [Group(f"g{i}", 2, (f"g{i - 1}", f"w{i}")) for i in range(1, 32)]
    policy = Policy(logs=logs, witnesses=witnesses, groups=tuple(groups), quorum="g31")
    assert parse_policy(format_policy(policy)) == policy
    times = {f"w{i}": 100 + i for i in range(32)}
    assert policy.time(times) == 100
    del times["w17"]
    assert policy.time(times) is None


def test_enough_witnesses_make_the_quorum() -> None:
    checkpoint, times = POLICY.verify(note({"X1": 30, "X3": 10, "Y2": 20}))
    assert checkpoint == HEAD
    assert times == {"X1": 30, "X3": 10, "Y2": 20}
    assert POLICY.time(times) == 10


@pytest.mark.parametrize("names", [(), ("X1", "X2", "X3"), ("X1", "Y1", "Y2", "Y3")])
def test_too_few_witnesses_of_one_organisation_are_no_quorum(names: tuple[str, ...]) -> None:
    with pytest.raises(Untrusted) as caught:
        POLICY.verify(note(dict.fromkeys(names, 9)))
    assert caught.value.reason == "no-quorum"


def test_one_witness_twice_counts_once_with_its_later_time() -> None:
    lines = (
        sign_checkpoint(HEAD, name=ORIGIN, signer=LOG),
        *(cosigned("X1", time) for time in (5, 9, 7)),
        cosigned("Y1", 8),
    )
    data = format_note(Note(format_checkpoint(HEAD), lines))
    with pytest.raises(Untrusted):
        POLICY.verify(data)
    single = Policy(logs=POLICY.logs, witnesses=POLICY.witnesses, quorum="X1")
    assert single.verify(data)[1]["X1"] == 9


def test_timestamp_zero_does_not_count() -> None:
    key = KEYS["X1"]
    silent = Cosignature(key.key_id, 0, SIGNERS["X1"].sign(cosigned_message(key, HEAD, 0)))
    lines = (
        sign_checkpoint(HEAD, name=ORIGIN, signer=LOG),
        format_cosignature(silent, name=key.name),
    )
    policy = Policy(logs=POLICY.logs, witnesses=POLICY.witnesses, quorum="X1")
    with pytest.raises(Untrusted) as caught:
        policy.verify(format_note(Note(format_checkpoint(HEAD), lines)))
    assert caught.value.reason == "no-quorum"
    assert not policy.is_satisfied({"X1": 0})


def test_a_quorum_without_the_log_is_refused() -> None:
    with pytest.raises(Untrusted) as caught:
        POLICY.verify(note(dict.fromkeys(NAMES, 9), signers=()))
    assert caught.value.reason == "unknown-key"


def test_a_listed_log_speaks_for_its_own_origin_only() -> None:
    stranger = VerifierKey("board.example/2", ED25519, LOG.public_key.raw)
    policy = Policy(logs=(Log(stranger),), witnesses=POLICY.witnesses, quorum="X1")
    with pytest.raises(Untrusted) as caught:
        policy.verify(note({"X1": 9}))
    assert caught.value.reason == "wrong-origin"


def test_without_log_lines_the_origin_must_come_from_elsewhere() -> None:
    policy = Policy(witnesses=POLICY.witnesses, quorum="X1")
    data = note({"X1": 9}, signers=())
    assert policy.verify(data, origin=ORIGIN) == (HEAD, {"X1": 9})
    with pytest.raises(Untrusted):
        policy.verify(data, origin="board.example/2")
    with pytest.raises(Misconfigured):
        policy.verify(data)
    with pytest.raises(Misconfigured):
        Policy().verify(data, origin=ORIGIN)


def test_quorum_none_needs_the_log_alone_and_vouches_for_no_time() -> None:
    policy = Policy(logs=POLICY.logs)
    assert format_policy(policy).endswith(b"quorum none\n")
    assert policy.verify(note({})) == (HEAD, {})
    assert policy.time({}) is None


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([], None),
        ([(0, [5])], None),
        ([(1, [])], None),
        ([(1, [5, 9])], 9),
        ([(2, [5, 9])], 5),
        ([(2, [9, 5, 7]), (1, [6])], 6),
        ([(2, [9, 5, 7]), (0, [])], 7),
        ([(2, [9, 5, 7]), (2, [6])], None),
    ],
)
def test_threshold_timestamp_by_hand(
    groups: list[tuple[int, list[int]]], expected: int | None
) -> None:
    assert threshold_timestamp(groups) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(1, 9), max_size=5)), max_size=4))
def test_threshold_timestamp_is_the_largest_time_that_still_satisfies(
    groups: list[tuple[int, list[int]]],
) -> None:
    def satisfied(t: int) -> bool:
        return all(sum(time >= t for time in times) >= needed for needed, times in groups)

    by_search = [t for t in range(1, 10) if satisfied(t)]
    demanding = any(needed for needed, _ in groups)
    expected = max(by_search) if by_search and demanding else None
    assert threshold_timestamp(groups) == expected


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9)))
def test_policy_time_is_the_largest_time_that_still_satisfies(times: dict[str, int]) -> None:
    def satisfied(t: int) -> bool:
        return POLICY.is_satisfied({name: time for name, time in times.items() if time >= t})

    assert POLICY.time(times) == max((t for t in range(1, 10) if satisfied(t)), default=None)
