# SPDX-License-Identifier: Apache-2.0
"""A mirror put together: the copy, what follows the board, and the application that serves it.

    with open_mirror(settings, clock=…) as mirror: Server(mirror.app, …).run()

It serves what a node serves to readers, from the same code over a read-only engine: log, check-ins
and proofs of its own making with the operators' cosignatures, links, manifests, blobs and views.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette

from fieldpost.durable import OS, Disk
from fieldpost.engines.recovery import Watch
from fieldpost.engines.replaying import Replayed
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node import views
from fieldpost.node.app import build_mirror
from fieldpost.node.config import Limits
from fieldpost.node.service import NodeService
from fieldpost.store.blobs import FileBlobs
from fieldpost.watch.mirror_blobs import BlobKeeper
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_engine import MirrorEngine
from fieldpost.watch.mirror_run import MirrorRun, check_not_halted
from fieldpost.watch.mirror_sources import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSettings:
    """What a mirror is told. `board`: the only one to begin with; None takes the first shown.

    `every_s`: seconds between two looks at a source, about.
    """

    data: Path
    sources: tuple[str, ...]
    board: str | None = None
    blobs: bool = False
    every_s: float = 5.0
    limits: Limits = Limits()  # noqa: RUF009 - it is frozen


@dataclass(frozen=True, slots=True)
class MirrorNode:
    """A running mirror. `labels` says solo and trial, empty for neither."""

    app: Starlette
    metrics: Metrics
    check_ready: Callable[[], str | None]
    board: str
    labels: str
    run: MirrorRun


@contextmanager
def open_mirror(
    settings: MirrorSettings,
    *,
    clock: Callable[[], int],
    watch: Watch | None = None,
    disk: Disk = OS,
) -> Iterator[MirrorNode]:
    """Open a mirror's folder and follow the board; begins once something is published here.

    `watch` follows entries that must be applied again, and the first copy. Raises Misbehaviour for
    operators that contradict themselves, Misconfigured, Unavailable.
    """
    check_not_halted(settings.data)
    with ExitStack() as stack:
        copy = BoardCopy(settings.data, watch=watch, disk=disk)
        stack.callback(copy.close)
        sources = [Source(url) for url in settings.sources]

        def told(one: Replayed) -> None:
            if watch is not None and copy.head is None:
                watch(one.batch.state.size, max(one.batch.state.size, run.behind()))

        run = MirrorRun(
            copy, sources, board=settings.board, every_s=settings.every_s, told=told, disk=disk
        )
        stack.callback(run.close)
        run.begin()
        elsewhere = f"post to {settings.sources[0]}"
        engine = MirrorEngine(copy, elsewhere=elsewhere, trouble=run.trouble)
        metrics = Metrics()
        service = NodeService(
            engine=engine,
            blobs=FileBlobs(settings.data / "blobs", disk=disk),
            log=settings.data / "log",
            catalog=settings.data / "catalog.db",
            limits=settings.limits,
            metrics=metrics,
            clock=clock,
        )
        stack.callback(service.close)
        blobs = BlobKeeper(service, settings.sources, data=settings.data, limits=settings.limits)
        app = build_mirror(
            service=service,
            engine=engine,
            metrics=metrics,
            data=settings.data,
            clock=clock,
            describe=lambda: _describe(run, engine, clock),
            elsewhere=elsewhere,
        )
        _announce(metrics, run, blobs)

        def grew() -> None:
            engine.tell()
            blobs.look()

        run.grew = grew
        # Threads end before what they use is closed.
        stack.callback(run.close)
        stack.callback(blobs.close)
        if settings.blobs:
            blobs.start()
        run.start()
        labels = views.board_labels(engine.board, views.board_record(engine.published()))
        yield MirrorNode(app, metrics, app.state.check_ready, engine.board, labels, run)


def _describe(run: MirrorRun, engine: MirrorEngine, clock: Callable[[], int]) -> str:
    age = clock() - engine.published().timestamp
    return (
        f"{run.behind()} entries behind, asked {run.asked_s():.0f} s ago, cosignatures {age} s old"
    )


def _announce(metrics: Metrics, run: MirrorRun, blobs: BlobKeeper) -> None:
    metrics.gauge(
        "fieldpost_mirror_behind_entries",
        "Entries that a source showed and that are not published here yet.",
        run.behind,
    )
    metrics.gauge(
        "fieldpost_mirror_asked_seconds",
        "Seconds since a source last answered with what was taken in.",
        run.asked_s,
    )
    metrics.table(
        "fieldpost_mirror_source_failures",
        "How many times in a row a source failed.",
        "source",
        lambda: {turn.source.name: float(turn.failures) for turn in run.turns},
    )
    metrics.gauge(
        "fieldpost_mirror_blobs_missing",
        "Manifests and artifacts that releases name and no source gave yet.",
        blobs.missing,
    )
