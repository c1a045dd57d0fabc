# SPDX-License-Identifier: Apache-2.0
"""What running programs tell their operators: events, one line each, under names that stay.

    tell(_log, "head-not-refreshed", error="the disk is full")

`EVENTS` lists them all (docs/reference/events.md is written from it). Facts are short and public:
no secret, no key, no device id, no address of a client. What other libraries say is the event
`library`.
"""

import json
import logging
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

FORMATS: Final = ("logfmt", "json")
LEVELS: Final = ("debug", "info", "warning", "error")
_PLAIN: Final = re.compile(r"[^\s\"=\\]+")


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event: a level of `logging`, what happened, and its facts."""

    level: int
    text: str
    facts: tuple[str, ...] = ()


EVENTS: Final[dict[str, Event]] = {
    "node-ready": Event(
        logging.INFO,
        "The node serves; it writes its state map in `c`, or in `python`, which is slower.",
        ("urls", "board", "labels", "metrics", "state_map"),
    ),
    "node-stopping": Event(logging.INFO, "Running requests are finished; the data is closed.", ()),
    "node-stopped": Event(logging.INFO, "All that was acknowledged is on the disk.", ()),
    "not-ready": Event(logging.WARNING, "Posts cannot be written, or the head ages.", ("error",)),
    "ready-again": Event(logging.INFO, "What `not-ready` said is over.", ()),
    "state-db-set-aside": Event(
        logging.WARNING,
        "state.db was written by another version; it is kept, and built anew.",
        ("version", "writes", "kept_as"),
    ),
    "rebuilding": Event(
        logging.WARNING,
        "state.db is built from the log; said every ten seconds.",
        ("done", "total", "entries_per_s"),
    ),
    "head-not-refreshed": Event(logging.WARNING, "The head was not cosigned anew.", ("error",)),
    "begins-with-old-head": Event(
        logging.WARNING, "The newest size could not be published at the start.", ("error",)
    ),
    "board-given-away": Event(
        logging.WARNING, "This node wrote its last batch: several operators go on.", ("error",)
    ),
    "snapshot-refused": Event(
        logging.WARNING, "A snapshot that a peer offered is not as it says.", ("height", "error")
    ),
    "snapshot-restored": Event(
        logging.INFO,
        "This replica begins with a snapshot of its peers.",
        ("height", "size", "keys"),
    ),
    "no-posts-taken": Event(
        logging.ERROR,
        "Mirrors know more than this node, and what is missing cannot be had.",
        ("error",),
    ),
    "few-connections": Event(
        logging.WARNING,
        "The system lets this process open too few files for `limits.connections`: raise "
        "`LimitNOFILE`.",
        ("connections", "wanted"),
    ),
    "verifies-alone": Event(
        logging.WARNING,
        "A process that verified signatures beside the node's own is gone: the node does its work, "
        "and starts another after a minute.",
        ("error",),
    ),
    "batch-not-written": Event(
        logging.WARNING, "Posts were not written; their senders know.", ("posts", "error")
    ),
    "disk-full": Event(
        logging.WARNING,
        "No post and no report is taken before there is room; heads live on what is kept for them.",
        ("reserve_bytes", "error"),
    ),
    "disk-has-room": Event(logging.INFO, "What `disk-full` said is over.", ()),
    "abci-connection-lost": Event(
        logging.WARNING, "CometBFT went away in the middle of a message.", ("error",)
    ),
    "abci-request-failed": Event(
        logging.ERROR,
        "A request of CometBFT could not be answered; it is stopped, and started again.",
        ("kind", "error"),
    ),
    "engine-begins-again": Event(
        logging.WARNING,
        "The replica is opened again from the disk, and CometBFT started again.",
        ("error",),
    ),
    "engine-stopped": Event(
        logging.ERROR, "The replica cannot go on before somebody mends it.", ("error",)
    ),
    "validator-misbehaved": Event(
        logging.ERROR,
        "A block proves that a validator signed a header of no block, to deceive light clients.",
        ("validator", "height"),
    ),
    "peer-away": Event(
        logging.WARNING,
        "Another operator's node does not give what it cosigned; it is asked again.",
        ("peer", "error"),
    ),
    "relay-away": Event(
        logging.WARNING,
        "Another operator's node does not take devices' reports; it is asked again.",
        ("peer", "error"),
    ),
    "peer-forks": Event(
        logging.ERROR,
        "Another operator signed another history; both heads are kept in DATA/evidence.",
        ("peer", "error"),
    ),
    "posts-not-read": Event(
        logging.ERROR,
        "A bug, or no memory, where posts are read: they were not written; their senders know.",
        (),
    ),
    "posts-not-verified-ahead": Event(
        logging.ERROR,
        "A bug, or no memory, beside the engine: it verified these posts itself, which is slower.",
        (),
    ),
    "answer-not-taken": Event(
        logging.ERROR, "A bug in what waits for a post's answer; the post itself is settled.", ()
    ),
    "receipts-not-made": Event(
        logging.ERROR, "A bug; the posts are in the log, their senders ask again.", ("posts",)
    ),
    "subscriber-failed": Event(logging.ERROR, "A bug in what follows the head.", ()),
    "cometbft-ended": Event(
        logging.WARNING,
        "CometBFT ended or stopped working; it is started again after a moment.",
        ("reason", "error"),
    ),
    "validator-key-doubled": Event(
        logging.ERROR,
        "A validator key voted twice for one round, so there is a copy of it or its operator lies: "
        "this node saw the votes (`own`: of yours), or a block proves it (`height`).",
        ("validator", "own", "height"),
    ),
    "validator-key-changed": Event(
        logging.WARNING,
        "CometBFT was started with the new validator key, which votes from this height on.",
        ("validator", "height"),
    ),
    "validator-key-not-changed": Event(
        logging.ERROR,
        "The board has the new validator key, and the old one could not be replaced by it.",
        ("error",),
    ),
    "cometbft-halted": Event(
        logging.ERROR,
        "CometBFT ended in a way that a restart would only repeat; somebody must act.",
        ("reason", "error"),
    ),
    "request": Event(
        logging.INFO,
        "A request was answered by the application (`log.access`).",
        ("id", "method", "noun", "status", "ms", "bytes"),
    ),
    "request-failed": Event(
        logging.ERROR, "A bug met a request; its sender got 500.", ("id", "method", "noun")
    ),
    "certificate-loaded": Event(logging.INFO, "TLS uses these files now.", ("file", "until")),
    "certificate-ended": Event(
        logging.WARNING,
        "The certificate that TLS uses has ended, by this machine's clock: clients refuse it.",
        ("file", "until"),
    ),
    "certificate-not-loaded": Event(
        logging.ERROR, "TLS goes on with the files before.", ("file", "error")
    ),
    "mirror-ready": Event(
        logging.INFO, "The mirror serves.", ("urls", "board", "labels", "sources", "metrics")
    ),
    "mirror-stopped": Event(
        logging.ERROR, "The mirror follows no more; a person must look.", ("error",)
    ),
    "source-refused": Event(
        logging.WARNING,
        "What a source shows is not so, or it does not answer; it is asked later.",
        ("source", "error"),
    ),
    "blob-refused": Event(
        logging.WARNING,
        "A manifest or artifact of a source was not taken.",
        ("source", "digest", "error"),
    ),
    "blobs-not-fetched": Event(
        logging.ERROR, "The disk does not take manifests and artifacts.", ("error",)
    ),
    "witness-not-had": Event(
        logging.WARNING,
        "An outside witness does not cosign; said when that changes.",
        ("witness", "state", "error"),
    ),
    "witness-again": Event(logging.INFO, "An outside witness cosigns again.", ("witness",)),
    "witness-ready": Event(
        logging.INFO, "The witness serves.", ("urls", "name", "origins", "metrics")
    ),
    "witness-stopped": Event(logging.INFO, "All that was cosigned is on the disk.", ()),
    "witness-was-behind": Event(
        logging.ERROR,
        "The witness's own signature covers more than its database knew: it is an old copy.",
        ("origin", "knew", "signed"),
    ),
    "witness-bug": Event(logging.ERROR, "A bug met a request to the witness.", ()),
    "nothing-cosigned": Event(
        logging.ERROR,
        "The witness's database takes no writes, or its clock is strange.",
        ("error",),
    ),
    "fork-seen": Event(
        logging.ERROR,
        "A log signed two heads of one size; both are kept.",
        ("origin", "size", "kept_in"),
    ),
    "evidence-not-kept": Event(logging.ERROR, "A fork was seen, and not kept.", ("error",)),
    "board-not-asked": Event(
        logging.WARNING, "A board's URL did not say what is new.", ("url", "error")
    ),
    "log-not-asked": Event(
        logging.WARNING, "A log's URL did not show its checkpoint.", ("url", "error")
    ),
    "monitor-ready": Event(
        logging.INFO, "The monitor looks.", ("board", "makers", "sources", "paths", "metrics")
    ),
    "look-failed": Event(
        logging.ERROR, "A look ended early; the next one goes on from there.", ("error",)
    ),
    "alarm-not-sent": Event(
        logging.WARNING,
        "A monitor's path for alarms is down; what waits for it is on the disk.",
        ("path", "tries", "error"),
    ),
    "alarms-sent-again": Event(logging.INFO, "What `alarm-not-sent` said is over.", ("path",)),
    "alarm-refused": Event(
        logging.WARNING, "A path refuses an alarm; it is sent again later.", ("path", "error")
    ),
    "path-forgotten": Event(
        logging.WARNING,
        "Alarms waited for a path that is configured no more; they are kept, and not sent.",
        ("path",),
    ),
    "expectations-not-loaded": Event(
        logging.ERROR, "A monitor goes on with the expectations before.", ("error",)
    ),
    "library": Event(logging.INFO, "What a library says.", ("logger", "message")),
}


def tell(
    log: logging.Logger, event: str, *, trace: BaseException | None = None, **facts: object
) -> None:
    """Say an event with its facts. KeyError for one that is not listed: a bug."""
    level = EVENTS[event].level
    if log.isEnabledFor(level):
        words = " ".join([event, *(f"{k}={_word(v)}" for k, v in facts.items())])
        log.log(level, words, exc_info=trace, extra={"event": event, "facts": facts})


def configure(*, form: str, level: str) -> None:
    """Send everything of `level` and above to stderr, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Logfmt())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its starts and stops are told by us; its warnings are not.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # A bug that met a request is told with the request's id; once is enough.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "Exception in ASGI application" not in record.getMessage()
    )


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_members(self, record), default=str, ensure_ascii=False)


class _Logfmt(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return " ".join(f"{k}={_word(v)}" for k, v in _members(self, record).items())


def _members(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC)
    members: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": getattr(record, "event", "library"),
    }
    if hasattr(record, "facts"):
        members |= {k: v for k, v in record.facts.items() if v is not None}
    else:
        members |= {"logger": record.name, "message": record.getMessage()}
    if record.exc_info and record.exc_info[0] is not None:
        members["trace"] = formatter.formatException(record.exc_info)
    return members


def _word(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
