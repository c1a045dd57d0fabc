# SPDX-License-Identifier: Apache-2.0
"""Verifying processes say what this process would say, and nothing depends on their health."""

import io
import os
import signal
from collections.abc import Iterator

import pytest

from fieldpost.engines.verifier import READY, Check, encode_request, is_valid, serve
from fieldpost.engines.verifiers import FEW, Verifiers
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

WAIT_S = 60
SIGNERS = [DeterministicSigner(algorithm, "verifiers") for algorithm in Algorithm]


def checks(count: int) -> list[Check]:
    """Of every algorithm; each third is wrong."""
    found: list[Check] = []
    for number in range(count):
        signer = SIGNERS[number % len(SIGNERS)]
        message = number.to_bytes(4, "big") * 20
        signature = signer.sign(message)
        found.append((signer.public_key, message + b"!" * (number % 3 == 0), signature))
    return found


@pytest.fixture
def two() -> Iterator[Verifiers]:
    opened = Verifiers(2)
    yield opened
    opened.close()


def start(verifiers: Verifiers) -> None:
    """Start the processes, and wait until they are ready."""
    verifiers.verify(checks(FEW)).result(WAIT_S)
    for process in verifiers._processes:
        process._thread.submit(lambda: None).result(WAIT_S)
        assert process.is_ready


def test_a_process_answers_for_every_check_in_order() -> None:
    asked, answers = checks(9), io.BytesIO()
    serve(io.BytesIO(encode_request(asked[:5]) + encode_request(asked[5:])), answers)
    assert answers.getvalue() == READY + bytes(is_valid(check) for check in asked)


def test_a_cut_off_request_has_no_answer() -> None:
    request, answers = encode_request(checks(3)), io.BytesIO()
    serve(io.BytesIO(request[:-1]), answers)
    assert answers.getvalue() == READY


@pytest.mark.parametrize("count", [0, 1, FEW - 1, FEW, FEW + 1, 100])
def test_processes_say_what_this_process_says(two: Verifiers, count: int) -> None:
    start(two)
    asked = checks(count)
    assert two.verify(asked).result(WAIT_S) == [is_valid(check) for check in asked]


def test_a_few_checks_start_no_process() -> None:
    verifiers = Verifiers(2)
    assert verifiers.verify(checks(FEW - 1)).done()
    assert not verifiers._processes


def test_without_processes_the_thread_that_asks_verifies() -> None:
    asked = checks(2 * FEW)
    assert Verifiers(0).verify(asked).result(0) == [is_valid(check) for check in asked]


def test_a_killed_process_costs_time_and_nothing_else(two: Verifiers) -> None:
    start(two)
    for process in two._processes:
        assert process._process is not None
        os.kill(process._process.pid, signal.SIGKILL)
    asked = checks(40)
    for _ in range(2):
        assert two.verify(asked).result(WAIT_S) == [is_valid(check) for check in asked]


def test_processes_end_with_the_engine() -> None:
    verifiers = Verifiers(1)
    start(verifiers)
    process = verifiers._processes[0]._process
    assert process is not None
    verifiers.close()
    assert process.returncode == 0
