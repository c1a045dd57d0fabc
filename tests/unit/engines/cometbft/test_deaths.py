# SPDX-License-Identifier: Apache-2.0
"""What CometBFT says last, and what that means. The lines are those of v0.40.0."""

import pytest

from fieldpost.engines.cometbft.deaths import doubled, explain_death, is_failure, tail_of

WRONG_HASH = "wrong Block.Header.AppHash.  Expected 00AA, got 00BB"
INVALID = f'module=consensus err="+2/3 committed an invalid block: {WRONG_HASH}" stack="goroutine"'

EARLY = "+2/3 prevoted for an invalid block: block time 13:51 is too far in the future (wall clock"


@pytest.mark.parametrize(
    ("line", "reason", "final"),
    [
        (f"E[2026] CONSENSUS FAILURE!!!  {INVALID}", "app-hash", True),
        (f'E[2026] Error in validation  module=blocksync height=7 hash=00AA err="{WRONG_HASH}"',
         "app-hash", True),
        ("panic: state.AppHash does not match AppHash after replay. Got", "app-hash", True),
        ("error during handshake: app block height (9) is higher than core (7)",
         "folders-differ", True),
        ("open /x/data/priv_validator_state.json: no such file or directory",
         "validator-state", True),
        ("failed to listen on 127.0.0.1:26657: listen tcp: bind: address already in use",
         "port-taken", False),
        ("panic: write /x/data/cs.wal/wal: no space left on device", "disk-full", False),
        ("failed to create node: resource temporarily unavailable", "in-use", False),
        ("E[2026] consensus connection terminated. Did the application crash? Please restart",
         "app-lost", False),
        ("E[2026] CONSENSUS FAILURE!!!  module=consensus err=timeout", "consensus", False),
        (f'E[2026] CONSENSUS FAILURE!!!  module=consensus err="{EARLY}" stack="x"', "clock-behind",
         False),
        (f"panic: precommit step; {EARLY}", "clock-behind", False),
        ("I[2026] committed state  module=state height=3", "ended", False),
    ],
)  # fmt: skip
def test_a_death_is_called_by_its_cause(line: str, reason: str, final: bool) -> None:
    death = explain_death(f"I[2026] earlier\n{line}\nI[2026] later\n".encode(), 1)
    assert (death.reason, death.final) == (reason, final)
    if reason != "ended":
        assert death.line == line


def test_another_proposers_wrong_block_is_no_fault_of_this_node() -> None:
    said = f'E[2026] prevote step: invalid block; prevoting nil  err="{WRONG_HASH}"\n'.encode()
    assert not is_failure(said)
    assert explain_death(said, -9).reason == "ended"


def test_a_process_that_stopped_its_consensus_is_noticed_while_it_runs() -> None:
    line = f"E[2026] CONSENSUS FAILURE!!!  {INVALID}".encode()
    assert not is_failure(line)  # the line is not whole yet
    assert is_failure(line + b"\n")


def test_nothing_said_is_a_death_with_its_status() -> None:
    assert "signal 9" in str(explain_death(b"", -9))
    assert "exit code 3" in str(explain_death(b"\xff\xfe", 3))


def test_a_key_that_voted_twice_is_named_by_its_address() -> None:
    address = "6F804F220129CEAD588E775C43803BBE45913892"
    said = f'module=consensus height=11 peer=02f9 err="conflicting votes from validator {address}"'
    line = f"E[2026] failed to process message  {said}\n"
    assert doubled(line.encode()) == {address}
    assert not doubled(b"I[2026] received complete proposal block\n")
    assert not is_failure(line.encode())


@pytest.mark.parametrize(
    "name",
    [
        f"CONSENSUS FAILURE!!!  {INVALID}",
        f"] CONSENSUS FAILURE!!!  {INVALID}",
        "panic: state.AppHash does not match AppHash after replay",
        "app block height (9) is higher than core (7)",
        "open data/priv_validator_state.json",
        'err="conflicting votes from validator 6F804F220129CEAD588E775C43803BBE45913892"',
    ],
)
def test_what_a_peer_calls_itself_stops_nobody_and_accuses_nobody(name: str) -> None:
    quoted = name.replace('"', '\\"')
    for level in "EI":
        said = (
            f'{level}[2026] Stopping peer for error  module=p2p peer="{quoted}" err=EOF\n'.encode()
        )
        assert not is_failure(said)
        assert not doubled(said)
        death = explain_death(said, -9)
        assert (death.reason, death.final) == ("ended", False)


def test_the_end_of_an_output_begins_with_a_whole_line() -> None:
    said = (
        b"I[2026] peer=panic: state.AppHash does not match AppHash after replay\n" + b"x" * 65_500
    )
    assert len(tail_of(said)) == 65_500
    assert explain_death(said, 1).reason == "ended"
    assert tail_of(b"short") == b"short"
