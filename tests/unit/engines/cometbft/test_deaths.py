# SPDX-License-Identifier: Apache-2.0
"""What CometBFT says last, and what that means. The lines are those of v0.40.0."""

import pytest

from fieldpost.engines.cometbft.deaths import doubled, explain_death, is_failure

WRONG_HASH = "wrong Block.Header.AppHash.  Expected 00AA, got 00BB"
INVALID = f'module=consensus err="+2/3 committed an invalid block: {WRONG_HASH}" stack="goroutine"'


@pytest.mark.parametrize(
    ("line", "reason", "final"),
    [
        (f"E[2026] CONSENSUS FAILURE!!!  {INVALID}", "app-hash", True),
        (f'E[2026] Error in validation  module=blocksync err="{WRONG_HASH}"', "app-hash", True),
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
        ("E[2026] CONSENSUS FAILURE!!!  err=timeout stack=goroutine", "consensus", False),
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
    line = f'E[2026] failed to process message  err="conflicting votes from validator {address}"\n'
    assert doubled(line.encode()) == {address}
    assert not doubled(b"I[2026] received complete proposal block\n")
    assert not is_failure(line.encode())
