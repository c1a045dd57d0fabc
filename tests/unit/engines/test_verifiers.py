# SPDX-License-Identifier: Apache-2.0
"""Verifying processes say what this process would say, and nothing depends on their health."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from zlib import crc32

import pytest

from fieldpost.engines import verifiers as verifiers_module
from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.verifier import (
    HEAD,
    READY,
    Check,
    Question,
    Verdict,
    decode_answer,
    encode_request,
    is_valid,
    serve,
)
from fieldpost.engines.verifiers import AGAIN_S, COMMAND, FEW, Verifiers
from fieldpost.keys import Algorithm
from fieldpost.posts.blob import BlobGone
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


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is given up because the machine is slow."""
    monkeypatch.setattr(verifiers_module, "_START_S", float(WAIT_S))
    monkeypatch.setattr(verifiers_module, "_END_S", float(WAIT_S))


@pytest.fixture
def two() -> Iterator[Verifiers]:
    opened = Verifiers(2, answer_s=WAIT_S)
    yield opened
    opened.close()


READY_THEN = "import os, signal, sys; sys.stdout.buffer.write(b'+'); sys.stdout.flush(); "
# Programs in the place of a verifying process, by what they do with a request.
HANGS = READY_THEN + "signal.pause()"
DIES_AT_WORK = READY_THEN + (
    "sys.stdin.buffer.read(8); sys.stdout.buffer.write(bytes(3)); sys.stdout.flush(); "
    "os.kill(os.getpid(), signal.SIGKILL)"
)
# It answers each request truly, but for what is done to the answer.
ANSWERS_BUT = (
    "import io, sys; from zlib import crc32; "
    "from fieldpost.engines.carried import carry; "
    "from fieldpost.engines.verifier import HEAD, serve; "
    "out = sys.stdout.buffer; out.write(b'+'); out.flush(); read = sys.stdin.buffer.read\n"
    "while head := read(12):\n"
    "    number, count, size = HEAD.unpack(head)\n"
    "    told = io.BytesIO(); serve(io.BytesIO(head + read(size)), told)\n"
    "    body = told.getvalue()[13:]\n"
    "    {lie}\n"
    "    out.write(HEAD.pack(number, len(body), crc32(body)) + body); out.flush()\n"
)
LIES = {
    "of another request": "number += 1",
    "for too few": "body = body[:count - 1]",
    "with records for too many": "body = body[:count] + carry([None] * (count + 1))",
    "with records for too few": "body = body[:count] + carry([None])",
    "with no pickle": "body = body[:count] + b'garbage'",
    "with what is no record": "body = body[:count] + b'cos\\nsystem\\n.'",
    "cut off": "out.write(HEAD.pack(number, len(body), crc32(body)) + body[:-1]); break",
    "damaged": "out.write(HEAD.pack(number, len(body), crc32(body) ^ 1) + body); break",
    "without an end": "out.write(HEAD.pack(number, 2**32 - 1, 0))",
    "of noise": "out.write(bytes(range(256)) * 64)",
}


def processes_of(verifiers: Verifiers) -> list[Popen[bytes]]:
    """The processes that run."""
    running = [process._process for process in verifiers._processes]
    return [process for process in running if process is not None]


def start(verifiers: Verifiers) -> None:
    """Start the processes, and wait until they are ready."""
    # Nothing is ready yet, so this is done here.
    verifiers.verify(checks(FEW)).result(WAIT_S)
    for process in verifiers._processes:
        process._thread.submit(lambda: None).result(WAIT_S)
        assert process.is_ready


def questions(count: int) -> list[Question]:
    """The same, each with a payload at its end, of which half decode to a record."""
    asked = []
    for number, (key, _message, _signature) in enumerate(checks(count)):
        gone = BlobGone(nonce=number + 1, digest=bytes(32), reason="court order")
        payload = gone.encode() if number % 2 else b"no record"
        signer = SIGNERS[number % len(SIGNERS)]
        message = b"before it" + payload
        signature = signer.sign(message + b"!" * (number % 3 == 0))
        asked.append(Question(key, message, signature, "blob.gone", len(payload)))
    return asked


def verdicts(count: int) -> list[Verdict]:
    """What is to be said of `questions`: no record of what is not validly signed."""
    return [
        (
            number % 3 != 0,
            BlobGone(nonce=number + 1, digest=bytes(32), reason="court order")
            if number % 2 and number % 3
            else None,
        )
        for number in range(count)
    ]


def answered(number: int, asked: list[Question]) -> bytes:
    """A request, and the answer of a process to it."""
    answers = io.BytesIO()
    serve(io.BytesIO(encode_request(number, asked)), answers)
    assert answers.getvalue()[:1] == READY
    return answers.getvalue()[1:]


def test_a_process_answers_for_every_question_in_order() -> None:
    asked = questions(9)
    told = answered(7, asked)
    assert decode_answer(7, 9, told[: HEAD.size], told[HEAD.size :]) == verdicts(9)
    plain = [Question(*check) for check in checks(9)]
    told = answered(8, plain)
    assert told[HEAD.size :] == bytes(is_valid(check) for check in checks(9))


def test_an_answer_counts_for_its_own_request_and_whole_alone() -> None:
    told = answered(7, questions(9))
    head, body = told[: HEAD.size], told[HEAD.size :]
    for wrong in (
        (8, 9, head, body),
        (7, 8, head, body),
        (7, 10, head, body),
        (7, 9, head, body[:-1]),
        (7, 9, head, body[:-1] + bytes((body[-1] ^ 1,))),
        (7, 9, HEAD.pack(7, 8, crc32(body[:8])), body[:8]),
    ):
        with pytest.raises(Exception):  # noqa: B017, PT011 - what a pickle raises is its own affair
            decode_answer(*wrong)
    assert decode_answer(7, 9, head, body)


def test_of_a_kind_that_is_unknown_only_the_signature_is_judged() -> None:
    asked = [questions(2)[1]._replace(kind="unknown")]
    told = answered(0, asked)
    assert decode_answer(0, 1, told[: HEAD.size], told[HEAD.size :]) == [(True, None)]


def test_a_cut_off_request_has_no_answer() -> None:
    request, answers = encode_request(0, questions(3)), io.BytesIO()
    serve(io.BytesIO(request[:-1]), answers)
    assert answers.getvalue() == READY


@pytest.mark.parametrize("count", [FEW, FEW + 1, 100])
def test_processes_give_verdicts_and_records_in_order(two: Verifiers, count: int) -> None:
    start(two)
    assert two.verify_posts(questions(count)).result(WAIT_S) == verdicts(count)


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_none_ends_the_process_and_its_work_is_done_here(lie: str) -> None:
    program = ANSWERS_BUT.replace("{lie}", LIES[lie])
    verifiers = Verifiers(1, command=(sys.executable, "-c", program), answer_s=WAIT_S)
    start(verifiers)
    here = [(valid, None) for valid, _ in verdicts(40)]
    assert verifiers.verify_posts(questions(40)).result(WAIT_S) == here
    assert not processes_of(verifiers)
    verifiers.close()


def test_control_the_same_program_without_a_lie_is_believed() -> None:
    program = ANSWERS_BUT.replace("{lie}", "pass")
    verifiers = Verifiers(1, command=(sys.executable, "-c", program), answer_s=WAIT_S)
    start(verifiers)
    assert verifiers.verify_posts(questions(40)).result(WAIT_S) == verdicts(40)
    assert processes_of(verifiers)
    verifiers.close()


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


def test_in_the_place_of_a_process_that_failed_another_is_started_after_a_minute(
    tmp_path: Path,
) -> None:
    """The first one dies at its first request; whichever follows it is a true one."""
    now = 0.0
    fails_once = tmp_path / "fails_once.py"
    fails_once.write_text(
        "import os, runpy\n"
        "try:\n"
        f"    os.open({str(tmp_path / 'failed')!r}, os.O_CREAT | os.O_EXCL)\n"
        f"    exec({DIES_AT_WORK!r})\n"
        "except FileExistsError:\n"
        "    runpy.run_module('fieldpost.engines.verifier', run_name='__main__')\n"
    )
    command = (sys.executable, str(fails_once))
    verifiers = Verifiers(1, command=command, answer_s=WAIT_S, uptime=lambda: now)
    start(verifiers)
    asked = checks(40)
    right = [is_valid(check) for check in asked]
    for later in (0.0, AGAIN_S - 1):
        now = later
        assert verifiers.verify(asked).result(WAIT_S) == right
        assert not processes_of(verifiers)
    now = AGAIN_S
    start(verifiers)
    assert verifiers.verify(asked).result(WAIT_S) == right
    (process,) = processes_of(verifiers)
    assert process.poll() is None
    verifiers.close()
    assert process.returncode == 0


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


@pytest.mark.parametrize("asked", [b"", encode_request(0, questions(3))])
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


def test_where_the_system_gives_no_thread_the_work_is_done_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    moment = [0.0]
    asked = questions(FEW)
    verifiers = Verifiers(1, uptime=lambda: moment[0])
    try:
        with monkeypatch.context() as exhausted:
            exhausted.setattr("threading.Thread.start", no_thread)
            alone = [(valid, None) for valid, _ in verdicts(FEW)]
            assert verifiers.verify_posts(asked).result(WAIT_S) == alone
        moment[0] = AGAIN_S
        start(verifiers)
        assert verifiers.verify_posts(asked).result(WAIT_S) == verdicts(FEW)
    finally:
        verifiers.close()


@pytest.mark.parametrize("processes", [1, 2])
def test_whoever_waits_for_verdicts_hears_of_a_bug(
    monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    verifiers = Verifiers(processes)
    try:
        start(verifiers)
        monkeypatch.setattr("fieldpost.engines.verifiers.encode_request", broken)
        monkeypatch.setattr("fieldpost.engines.verifiers._alone", broken)
        assert isinstance(verifiers.verify(checks(FEW)).exception(WAIT_S), ZeroDivisionError)
    finally:
        verifiers.close()
