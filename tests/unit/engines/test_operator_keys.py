# SPDX-License-Identifier: Apache-2.0
"""An operator's keys are replaced while its node runs: the board record says whose turn it is."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.engines.base import PublishedHead
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.operator_keys import (
    COSIGNER,
    GOVERNANCE,
    LOG,
    POST_QUANTUM,
    load_signer,
    make_key,
    next_path,
)
from fieldpost.engines.writer import BoardWriter
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A published board with one maker."""
    made = BoardOnDisk(tmp_path / "data")
    writer = made.open()
    writer.publish(made.time)
    made.write(writer, made.maker.registration())
    writer.close()
    return made


def rotation(board: BoardOnDisk, *names: str) -> bytes:
    """A `board.set` with new keys, which lie beside the old ones."""
    directory = keys_directory(board.data)
    new = {
        name: make_key(
            next_path(directory, name),
            Algorithm.ML_DSA_44 if name == POST_QUANTUM else Algorithm.ED25519,
        )
        for name in names
    }
    before = read_board(board.state.map)
    (operator,) = before.operators
    link = find_link(board.state.map, map_keys.board())
    assert link is not None
    if LOG in new:
        key = VerifierKey(before.origin, ED25519, new[LOG].public_key.raw)
        operator = replace(operator, log_key=key)
    cosigners = list(operator.cosigner_keys)
    if COSIGNER in new:
        cosigners[0] = cosigner_key(cosigners[0].name, new[COSIGNER].public_key)
    if POST_QUANTUM in new:
        cosigners[1:] = [cosigner_key(cosigners[0].name, new[POST_QUANTUM].public_key)]
    operator = replace(operator, cosigner_keys=tuple(cosigners))
    record = replace(before, epoch=1, previous=link.digest, operators=(operator,))
    statement = Statement(
        kind="board.set",
        issuer=operator.name,
        subject=before.origin,
        audience=board.state.board,
        payload=record.encode(),
    )
    governance = load_signer(directory / f"{GOVERNANCE}.pem")
    return sign_post(statement, [governance, *new.values()]).encode()


def signers_of(head: PublishedHead) -> BoardRecord:
    """The record under which a head is published; its note verifies under that record's log key."""
    record = read_board(head.map)
    keys: Sequence[VerifierKey] = [operator.log_key for operator in record.operators]
    open_checkpoint(head.note, keys, origin=record.origin)
    named = {key.key_id for operator in record.operators for key in operator.cosigner_keys}
    assert {cosignature.key_id for cosignature in head.cosignatures} == named
    return record


def published(writer: BoardWriter) -> PublishedHead:
    assert writer.head is not None
    return writer.head


@pytest.mark.parametrize("names", [(LOG,), (COSIGNER,), (LOG, COSIGNER), (POST_QUANTUM,)])
def test_new_keys_publish_the_batch_that_names_them(
    board: BoardOnDisk, names: tuple[str, ...]
) -> None:
    writer = board.open()
    writer.publish(board.time)
    post = rotation(board, *names)
    assert signers_of(published(writer)).epoch == 0
    board.write(writer, post)
    assert signers_of(published(writer)).epoch == 1
    board.write(writer, board.maker.class_set())
    assert signers_of(published(writer)).epoch == 1
    writer.close()


def test_a_node_that_was_cut_off_before_it_published_goes_on_with_the_new_keys(
    board: BoardOnDisk,
) -> None:
    """The batch is durable, nothing of it is signed: both keys are here, the record decides."""
    writer = board.open()
    post = rotation(board, LOG, COSIGNER)
    board.apply([post])
    writer.commit([post], time=board.time)
    writer.close()

    writer = board.open()
    assert signers_of(published(writer)).epoch == 0
    assert signers_of(writer.publish(board.time)).epoch == 1
    writer.close()


def test_a_rotation_that_the_board_never_took_changes_nothing(board: BoardOnDisk) -> None:
    rotation(board, LOG, COSIGNER)
    writer = board.open()
    assert signers_of(writer.publish(board.time)).epoch == 0
    writer.close()


@pytest.mark.parametrize("renamed", [False, True])
def test_it_matters_what_is_in_a_file_and_not_how_it_is_called(
    board: BoardOnDisk, renamed: bool
) -> None:
    """Whoever renames the files after a rotation may be cut off as well."""
    writer = board.open()
    board.write(writer, rotation(board, LOG, COSIGNER))
    writer.close()
    directory = keys_directory(board.data)
    (directory / "log.pem").unlink()
    if renamed:
        next_path(directory, LOG).rename(directory / "log.pem")
    writer = board.open()
    assert signers_of(writer.publish(board.time)).epoch == 1
    writer.close()


def test_a_node_without_the_keys_that_the_record_names_refuses_and_loses_nothing(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    writer = board.open()
    post = rotation(board, LOG, COSIGNER)
    held = next_path(keys_directory(board.data), COSIGNER)
    held.rename(tmp_path / "held.pem")
    board.apply([post])
    writer.commit([post], time=board.time)
    before = sha256(published(writer).note).digest()
    with pytest.raises(Misconfigured, match="those that it names now"):
        writer.publish(board.time)
    assert sha256(writer.log.read_checkpoint() or b"").digest() == before
    writer.close()
    with pytest.raises(Misconfigured, match="at epoch 1"):
        board.open()
    (tmp_path / "held.pem").rename(held)
    writer = board.open()
    assert signers_of(writer.publish(board.time)).epoch == 1
    writer.close()


def test_a_rotation_that_was_given_up_here_and_posted_by_others_is_no_end(
    board: BoardOnDisk,
) -> None:
    writer = board.open()
    post = rotation(board, COSIGNER)
    directory = keys_directory(board.data)
    (directory / "retired").mkdir()
    next_path(directory, COSIGNER).rename(directory / "retired/cosigner.abandoned-0.pem")
    board.write(writer, post)
    assert signers_of(published(writer)).epoch == 1
    writer.close()


def test_a_node_needs_no_governance_key(board: BoardOnDisk) -> None:
    (keys_directory(board.data) / "governance.pem").unlink()
    board.open().close()
