# SPDX-License-Identifier: Apache-2.0
"""What a node tells its operator in numbers: board, freshness, load, disk, process.

docs/operations/README.md says which of them to be woken by; deploy/prometheus/ has the rules.
"""

import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fieldpost import __version__
from fieldpost.engines.base import Engine
from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.bodies import Bodies
from fieldpost.node.readiness import Readiness
from fieldpost.node.service import NodeService
from fieldpost.node.unsent import Unsent
from fieldpost.node.witnesses import Witnesses

_PAGE_BYTES: Final = resource.getpagesize()


def announce_board(
    metrics: Metrics, service: NodeService, engine: Engine, readiness: Readiness
) -> None:
    """Is the board healthy, is freshness at risk, is there room, is it in demand?"""
    metrics.gauge("fieldpost_ready", "1 if /readyz says so.", lambda: float(readiness.is_ready()))
    metrics.gauge(
        "fieldpost_log_size", "Entries of the published log.", lambda: engine.published().size
    )
    metrics.gauge(
        "fieldpost_published_age_seconds", "Age of the newest cosignatures.", readiness.age_s
    )
    metrics.gauge(
        "fieldpost_epoch_seconds",
        "How often the board is cosigned anew; an age over twice that is a risk to freshness.",
        readiness.epoch_s,
    )
    metrics.gauge(
        "fieldpost_stale_in_seconds",
        "When the first maker's devices call the board stale, if nothing is cosigned until then.",
        lambda: service.least_max_age_s() - readiness.age_s(),
    )
    metrics.gauge("fieldpost_posts_waiting", "Posts in the queue.", lambda: engine.waiting)
    metrics.gauge(
        "fieldpost_disk_free_bytes", "Room on the disk of the data.", readiness.free_bytes
    )
    metrics.counter("fieldpost_posts_total", "Posts by what became of them.")
    metrics.counter("fieldpost_blob_bytes_total", "Bytes of blobs that were asked for.")
    metrics.total(
        "fieldpost_checkins_total",
        "Check-ins answered, with a bundle or with 304.",
        lambda: service.checkins_made + service.fast.hits,
    )
    engine.observe(
        commit=metrics.histogram("fieldpost_commit_seconds", "Making a batch of posts durable."),
        publish=metrics.histogram(
            "fieldpost_publish_seconds", "Signing, cosigning and showing a committed size."
        ),
    )


def announce_witnesses(metrics: Metrics, witnesses: Witnesses, clock: Callable[[], int]) -> None:
    """Do the witnesses cosign that the board's record names?"""

    def ages() -> Mapping[str, float]:
        now = clock()
        return {
            one.name: float("inf") if one.time is None else float(now - one.time)
            for one in witnesses.states()
        }

    metrics.table(
        "fieldpost_witness_age_seconds",
        "Age of each outside witness's newest cosignature; +Inf before the first.",
        "witness",
        ages,
    )
    metrics.table(
        "fieldpost_witness_size",
        "The size that each outside witness cosigned last.",
        "witness",
        lambda: {one.name: float(one.size or 0) for one in witnesses.states()},
    )
    metrics.table(
        "fieldpost_witness_cosigns",
        "1 if an outside witness cosigned when it was asked last.",
        "witness",
        lambda: {one.name: float(one.state == "cosigns") for one in witnesses.states()},
    )


def announce_reserve(metrics: Metrics, reserve: HeadReserve) -> None:
    """How long do heads go on, on a full disk?"""
    metrics.gauge(
        "fieldpost_head_reserve_bytes",
        "What is left of limits.head_reserve_bytes; posts wait until it is whole again.",
        lambda: reserve.held_bytes,
    )


def announce_certificate(metrics: Metrics, expires: Callable[[], float]) -> None:
    """Until when strangers will believe the address, in Unix seconds."""
    metrics.gauge(
        "fieldpost_certificate_expires_seconds",
        "Unix time at which the TLS certificate in use ends; of a node with one.",
        expires,
    )


def announce_held(metrics: Metrics, bodies: Bodies, unsent: Unsent) -> None:
    """Do clients send what they began, and take what they ask for?"""
    metrics.gauge(
        "fieldpost_bodies_bytes",
        "Bytes in memory of requests' bodies that are not whole yet.",
        lambda: bodies.bytes_held,
    )
    metrics.total(
        "fieldpost_bodies_ended_total",
        "Bodies that were refused because too many of these bytes were held.",
        lambda: bodies.ended,
    )
    metrics.gauge(
        "fieldpost_unsent_bytes",
        "Bytes of answers that wait in memory for clients who take them slowly.",
        lambda: unsent.bytes_held,
    )
    metrics.total(
        "fieldpost_unsent_ended_total",
        "Connections that were ended because too many of these bytes waited.",
        lambda: unsent.ended,
    )


def announce_process(metrics: Metrics) -> None:
    """The process, under the names that Prometheus' own clients use."""
    started = time.time()
    metrics.table("fieldpost_build_info", "1, by version.", "version", lambda: {__version__: 1.0})
    metrics.gauge("process_start_time_seconds", "Unix time of the start.", lambda: started)
    metrics.gauge("process_resident_memory_bytes", "Memory in use.", _resident_bytes)
    metrics.gauge("process_open_fds", "Open files and connections.", _open_files)
    metrics.gauge(
        "process_max_fds",
        "As many as there may be.",
        lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
    metrics.total("process_cpu_seconds_total", "Time of processors used.", time.process_time)


def _resident_bytes() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:  # not Linux: the peak, in kilobytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _open_files() -> float:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
