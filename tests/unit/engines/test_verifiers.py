# SPDX-License-Identifier: Apache-2.0
"""Verifying processes say what this process would say, and nothing depends on their health."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from subprocess import PIPE, Popen

import pytest

from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.verifier import READY, Check, encode_request, is_valid, serve
from fieldpost.engines.verifiers import COMMAND, FEW, Verifiers
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


READY_THEN = "import os, signal, sys; sys.stdout.buffer.write(b'+'); sys.stdout.flush(); "
# Programs in the place of a verifying process, by what they do with a request.
HANGS = READY_THEN + "signal.pause()"
DIES_AT_WORK = READY_THEN + (
    "sys.stdin.buffer.read(8); sys.stdout.buffer.write(bytes(3)); sys.stdout.flush(); "
    "os.kill(os.getpid(), signal.SIGKILL)"
)


def processes_of(verifiers: Verifiers) -> list[Popen[bytes]]:
    """The processes that run."""
    running = [process._process for process in verifiers._processes]
    return [process for process in running if process is not None]


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


def test_a_process_that_never_answers_is_killed_and_its_work_done_here() -> None:
    """Without any patience, so that nobody waits; large requests do not fit in its pipe either."""
    for count in (40, 4_000):
        verifiers = Verifiers(2, command=(sys.executable, "-c", HANGS), answer_s=0.0)
        start(verifiers)
        processes, asked = processes_of(verifiers), checks(40) * (count // 40)
        right = [is_valid(check) for check in asked[:40]] * (count // 40)
        assert verifiers.verify(asked).result(WAIT_S) == right
        assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
        assert verifiers.verify(asked[:40]).result(WAIT_S) == right[:40]
        verifiers.close()


def test_a_process_that_dies_at_work_costs_time_and_nothing_else() -> None:
    verifiers = Verifiers(2, command=(sys.executable, "-c", DIES_AT_WORK), answer_s=WAIT_S)
    start(verifiers)
    asked = checks(40)
    for _ in range(2):
        assert verifiers.verify(asked).result(WAIT_S) == [is_valid(check) for check in asked]
    assert not processes_of(verifiers)
    verifiers.close()


def test_a_stopped_process_keeps_nobody_waiting() -> None:
    verifiers = Verifiers(2, answer_s=0.0)
    start(verifiers)
    processes, asked = processes_of(verifiers), checks(40)
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    assert verifiers.verify(asked).result(WAIT_S) == [is_valid(check) for check in asked]
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * 2
    verifiers.close()


def test_a_program_that_is_no_verifier_is_never_asked() -> None:
    verifiers = Verifiers(1, command=(sys.executable, "-c", "print('-')"))
    asked = checks(40)
    for _ in range(2):
        assert verifiers.verify(asked).result(WAIT_S) == [is_valid(check) for check in asked]
        verifiers._processes[0]._thread.submit(lambda: None).result(WAIT_S)
    verifiers.close()


@pytest.mark.parametrize("asked", [b"", encode_request(checks(3))])
def test_a_process_whose_engine_is_gone_ends_without_a_word(asked: bytes) -> None:
    """Before it could say that it is ready, or in the middle of a request."""
    reading, writing = os.pipe()
    with Popen(COMMAND, stdin=PIPE, stdout=writing, stderr=PIPE) as process:
        os.close(writing)
        if asked:
            assert os.read(reading, 1) == READY
        os.close(reading)
        _, said = process.communicate(asked, timeout=WAIT_S)
    assert (process.returncode, said) == (0, b"")


def test_processes_end_with_the_engine() -> None:
    verifiers = Verifiers(1)
    start(verifiers)
    process = verifiers._processes[0]._process
    assert process is not None
    verifiers.close()
    assert process.returncode == 0


def test_what_is_verified_without_processes_has_one_verdict_with_a_quick_yes_and_without() -> None:
    some = checks(4 * FEW)
    alone = Verifiers(0).verify(some).result()
    assert True in alone
    assert False in alone
    asked = []

    def counted(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(key)
        return quick_yes is not None and quick_yes(key, message, signature)

    quick_yes = find_quick_yes()
    assert Verifiers(0, quick_yes=counted).verify(some).result() == alone
    assert len(asked) == sum(key.algorithm is Algorithm.ED25519 for key, _, _ in some)
