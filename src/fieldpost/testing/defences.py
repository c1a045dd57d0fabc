# SPDX-License-Identifier: Apache-2.0
"""Switching a defence off, to show that it is what stops an attack.

    with without(Defence.QUORUM):
        verify_bundle(…)                    believes what nobody cosigned

Each defence is one check function of the ledger, the check-in kernel, the encodings, the agent or
the fleet service, or one order in which things are written, replaced for the time of the block by
one that lets everything pass. Shipped code has no flag for it: this room is the only way, and
programs may not import it. Not for threads: the whole process is without the defence. `undefended`
runs whole programs so.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from enum import Enum
from hashlib import sha256
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from fieldpost import cbor, database
from fieldpost.agent import (
    bookkeeping,
    download,
    installing,
    machine,
    offline,
    schedule,
    trust,
)
from fieldpost.agent.slots import files, stored_image
from fieldpost.agent.slots.exec import ExecSlots
from fieldpost.checkin import belief, chains, manifests, offers, quorum, verify
from fieldpost.checkin.chains import Tip
from fieldpost.checkin.offers import is_for
from fieldpost.checkin.views import view_head
from fieldpost.engines import clock_guard, embedded, published, signed_mark, sound_writer, writer
from fieldpost.engines.cometbft import restoring
from fieldpost.engines.cometbft.application import Application
from fieldpost.fleet import at_hand, reports
from fieldpost.fleet import service as fleet_service
from fieldpost.fleet.devices import Place
from fieldpost.identity.report import Report, open_report
from fieldpost.ledger import authority, batch, links, quota
from fieldpost.ledger.rules import board, maker, release, rollout
from fieldpost.node import (
    bodies,
    clients,
    crowd,
    guarded,
    rates,
    service,
    spool,
    unsent,
    uploads,
    witness_asking,
)
from fieldpost.node.api import blobs, lots
from fieldpost.posts.envelope import decode_post
from fieldpost.records.head import Head, Offer
from fieldpost.records.state_leaf import StateLeaf, decode_state_leaf
from fieldpost.store import log_recovery
from fieldpost.suit import envelope
from fieldpost.testing import hasty, lenient
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import root_from_edge
from fieldpost.tlog.treehead import Checkpoint
from fieldpost.watch.witness import judging
from fieldpost.watch.witness import logs as witness_logs
from fieldpost.watch.witness import service as witness_service
from fieldpost.watch.witness.database import WitnessDb


def _pass(*_arguments: Any, **_named: Any) -> None:
    """Let everything pass."""


def _any_value(bundle: Any, _key: bytes, *, origin: str) -> tuple[StateLeaf, Checkpoint]:
    """Step 1 without the map proof."""
    leaf = decode_state_leaf(bundle.state_leaf)
    root = root_from_edge(
        leaf_hash=leaf_hash(bundle.state_leaf), index=leaf.covered_size, edge=bundle.edge
    )
    return leaf, Checkpoint(origin, leaf.covered_size + 1, root)


def _latest(
    _checkpoint: Checkpoint,
    cosignatures: Iterable[Cosignature],
    *,
    clock: int | None,
    **_named: Any,
) -> int:
    """Step 4 without counting: T is what anybody says, and now where nobody says anything."""
    return max((cosignature.timestamp for cosignature in cosignatures), default=clock or 0)


def _same_board(belief: Any, _leaf: StateLeaf, *_rest: Any) -> Tip:
    """Step 3 without comparing: the record that is known."""
    return Tip(belief.board_record, belief.board_link)


def _last_maker(
    belief: Any, _head: Head, _data: bytes, entries: Sequence[bytes], _algorithms: Collection[Any]
) -> Tip:
    """Step 6 without comparing: the last record that somebody hands out, or the known one."""
    if not entries:
        return Tip(belief.maker_record, belief.maker_link)
    payload = decode_post(entries[-1]).statement.payload
    return Tip(payload, sha256(entries[-1]).digest())


def _no_limit(_now: int | None, **_named: Any) -> None:
    """No clock is trusted, so no timestamp is ever too far ahead, and nothing is ever stale."""


def _is_for_whatever_runs(offer: Offer, _running: int, *rest: Any) -> bool:
    """Step 8 without comparing sequences: as if nothing ran yet."""
    return is_for(replace(offer, from_range=None), 0, *rest)


def _as_named(path: Path) -> bytes:
    """The digest that a download is named by, whatever it holds."""
    return bytes.fromhex(path.stem)


def _anywhere(connection: Connection, devices: Sequence[bytes]) -> dict[bytes, Place]:
    """The places of devices in their lots; a stranger's is the first that there is."""
    query = (
        "SELECT lot, idx, leaf FROM leaves LEFT JOIN devices USING (lot, idx) "
        "ORDER BY devices.device IS ? DESC LIMIT 1"
    )
    rows = {device: connection.execute(query, (device,)).fetchone() for device in devices}
    return {
        device: Place(lot=row[0], index=row[1], leaf=row[2])
        for device, row in rows.items()
        if row is not None
    }


def _as_claimed(data: bytes, _key: Any, **_named: Any) -> Report:
    """What a report claims, whoever signed it."""
    return open_report(data)[1]


class Defence(Enum):
    """A check: the module (or class) that calls it, its name there, and what lets all pass."""

    # --- the ledger ---
    AUDIENCE = (batch, "_check_audience", _pass)
    ROLE_KEYS = (authority, "check_signatures", _pass)
    ROLE_THRESHOLD = (authority, "_check_enough", _pass)
    MAKER_KEYS = (maker, "check_signatures", _pass)
    ROOT_THRESHOLD = (maker, "check_root", _pass)
    SCOPE = (authority, "_check_scope", _pass)
    NONCE = (authority, "_take", lenient.any_nonce)
    CHAIN_PLACE = (links, "_check_place", _pass)
    POST_LIMIT = (quota, "_count", lenient.nothing_posted)
    BOARD_QUORUM = (board, "_check_quorum", _pass)
    SEQUENCE_WINDOW = (release, "_check_sequence", _pass)
    INTERVAL = (rollout, "_check_channel", _pass)
    COHORT = (rollout, "_check_offer", lenient.without_memory)
    ATTESTERS = (maker, "check_operators", lenient.one_operator)
    DOMAIN_HOLDER = (maker, "attest", lenient.attest_to_anybody)

    # --- encodings ---
    MAP_KEYS = (cbor, "_READ", {**cbor._READ, 5: lenient.read_any_map})  # noqa: SLF001

    # --- the check-in ---
    VALUE_PROOF = (verify, "verify_state", _any_value)
    EDGE_LENGTH = (verify, "root_from_edge", lenient.first_hashes)
    SIZE = (verify, "check_not_older", _pass)
    BOARD_LINK = (verify, "follow_board", _same_board)
    LINK_THRESHOLD = (chains, "check_threshold", _pass)
    COSIGNATURE = (quorum, "verify_signature", _pass)
    QUORUM = (verify, "verify_quorum", _latest)
    SAME_HISTORY = (verify, "check_same_history", _pass)
    MAKER_LINK = (verify, "follow_maker", _last_maker)
    CLOCK = (verify, "trusted_clock", _no_limit)
    STALENESS = (verify, "is_stale", lambda *_arguments, **_named: False)
    PROVISIONING = (belief, "check_threshold", _pass)
    MANIFEST_SIGNATURE = (envelope, "verify_signature", _pass)
    MANIFEST_DIGEST = (manifests, "check_digest", _pass)
    MANIFEST_SEQUENCE = (manifests, "check_sequence", _pass)
    MANIFEST_TARGET = (manifests, "check_target", _pass)

    # --- the agent ---
    NEWER_OFFER = (offers, "is_for", _is_for_whatever_runs)
    STORED_BYTES = (download, "_digest", _as_named)
    FILE_BYTES = (offline, "_is_form", lambda *_arguments: True)
    IMAGE = (stored_image, "is_content", lambda *_arguments: True)
    SLOT_NAMES = (files, "_NAMES", lenient.EVERY_NAME)
    COMPONENTS = (ExecSlots, "check_fits", _pass)
    WINDOW = (download, "_MOST_WINDOW_BYTES", 2**31)
    UNPACKED_SIZE = (installing, "unpack", lenient.unpack_all)
    AGE = (trust, "is_stale", lambda *_arguments, **_named: False)
    GENUINELY_OLDER = (trust, "verify_older", _pass)
    LONGEST_CHAIN = (trust, "longest_chain", lambda chains: chains[0])
    TRIES = (trust, "TRIES", 1_000_000)
    REST = (bookkeeping, "is_resting", lambda *_arguments, **_named: False)
    TRIAL_CHECK_IN = (machine, "step", lenient.trust_the_healthy)
    INTERVAL_BOUNDS = (schedule, "clamp", lambda seconds, **_bounds: seconds)

    # --- the fleet ---
    MEMBERSHIP = (at_hand, "load_places", _anywhere)
    REPORT_SIGNATURE = (reports, "verify_report", _as_claimed)
    REPORT_BOARD = (reports, "verify_report", lenient.for_any_board)
    REPORT_ORDER = (at_hand.AtHand, "seen", lenient.never_seen)
    DEVICE_STATUS = (reports, "_REFUSED", ())

    # --- the node ---
    FRAMING = (guarded.GuardedProtocol, "_judge_header", _pass)
    ROOM_FOR_NEWCOMERS = (crowd.Crowd, "_make_room", lambda _crowd: False)
    CLIENT_PLACES = (crowd.Crowd, "enter", lenient.everybody_enters)
    READERS_LOOKED_AT = (guarded.GuardedProtocol, "_watch_stall", _pass)
    ROOM_FOR_BODIES = (bodies.Bodies, "_make_room", lenient.nobody_leaves)
    ROOM_FOR_ANSWERS = (unsent.Unsent, "_make_room", lenient.nobody_leaves)
    SHORT_PIECES = (unsent.Unsent, "piece", lambda _unsent, usual: nullcontext(usual))
    RATE = (rates.Rates, "take", lambda *_arguments: 0.0)
    PROXIES = (clients.Clients, "_is_trusted", lambda *_arguments: True)
    UPLOAD_PERMIT = (service, "verify_permit", lenient.any_permit)
    UPLOAD_TIME = (blobs, "stream_body", lenient.patiently)
    PIECE_BYTES = (blobs, "stream_body", lenient.all_of_it)
    BLOB_BYTES = (uploads.Uploads, "_check_limits", _pass)
    MAKER_ROOM = (uploads.Uploads, "_used_by", lambda *_arguments, **_named: 0)
    DISK_RESERVE = (uploads.Uploads, "check_room", _pass)
    HEAD_RESERVE = (embedded, "HeadReserve", lenient.keep_no_reserve)
    HEADS_BEFORE_BATCH = (sound_writer.SoundWriter, "for_heads", sound_writer.SoundWriter.sound)
    LEAVES_TIME = (lots, "stream_body", lenient.patiently)
    LEAVES_RESERVE = (spool, "check_reserve", _pass)
    LEAVES_ON_DISK = (lots, "_fill", lenient.hold_in_memory)
    LEAVES_OF_THE_LOT = (fleet_service, "most_leaves_bytes", lambda _count: 2**31)

    # --- who watches ---
    PUBLISHING_QUORUM = (published, "_published_time", lambda *_arguments: 0)

    WITNESS_CONSISTENCY = (judging, "check_extends", _pass)
    WITNESS_QUORUM = (witness_logs, "check_quorum", _pass)
    WITNESS_OWN_MEMORY = (
        witness_service.WitnessService,
        "_remember_own",
        lambda _service, _examined, last, _changed: last,
    )
    WITNESS_KEYS_KNOW = (witness_service, "check_remembers", _pass)
    WITNESS_LINES = (witness_asking, "verify_cosignature", _pass)
    PUBLISHED_LINES = (published, "verify_cosignature", lambda _key, _head, line: line)
    WITNESS_DURABLE = (WitnessDb, "save_heads", _pass)

    SNAPSHOT_ROOT = (restoring, "check_pairs", _pass)

    # --- recovery ---
    CLOCK_GUARD = (clock_guard.ClockGuard, "read", lenient.read_any_clock)
    GIVEN_AWAY = (writer.BoardWriter, "check_ours", _pass)
    CONFIRMATION = (Application, "_commit", hasty.commit_unconfirmed)
    SIGNED_MARK = (signed_mark, "_load", lambda _path: (0, b""))
    TORN_BATCH = (log_recovery, "_remove_torn", _pass)
    LOG_BEFORE_STATE = (writer.BoardWriter, "commit", hasty.commit_state_first)
    LOG_BEFORE_CHECKPOINT = (log_recovery, "LogFiles", hasty.CheckpointFirst)
    DURABLE_COMMITS = (database, "check_durable", hasty.commit_to_the_cache)
    NOTE_BEFORE_TRIAL = (files.FileSlots, "begin_trial", hasty.begin_trial_unnoted)
    NOTE_UNTIL_REVERTED = (files.FileSlots, "revert", hasty.revert_unnoted)


@contextmanager
def without(*defences: Defence) -> Iterator[None]:
    """Replace these defences inside the block; they are whole again after it."""
    saved: list[tuple[Any, str, Any]] = []
    try:
        for defence in defences:
            module, name, replacement = defence.value
            saved.append((module, name, getattr(module, name)))
            setattr(module, name, replacement)
        yield
    finally:
        for module, name, original in reversed(saved):
            setattr(module, name, original)
        # A head that was read without a defence is not to be remembered with it.
        view_head.cache_clear()
