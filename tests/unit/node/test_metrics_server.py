# SPDX-License-Identifier: Apache-2.0
"""Metrics are the operator's: another address, no word of them in public, bounded labels."""

import re
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from fieldpost.errors import FieldpostError, Misconfigured, Unavailable
from fieldpost.metrics.prometheus import Metrics
from fieldpost.metrics.server import MetricsServer
from tests.unit.node.running_node import NOW, running, with_class

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? (-?[0-9.e+-]+|[+-]Inf)')


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=60) as answer:  # noqa: S310 - a server of this test
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_scraper_reads_metrics_and_readiness_with_its_reason() -> None:
    metrics = Metrics()
    metrics.counter("posts_total", "Posts.")
    trouble: list[str] = []

    def check() -> None:
        if trouble:
            raise Unavailable(trouble[0])

    with MetricsServer(("127.0.0.1", 0), metrics, check) as server:
        assert get(server.url + "/metrics") == (200, metrics.render())
        assert get(server.url + "/healthz") == (200, "ok\n")
        assert get(server.url + "/readyz") == (200, '{"ready": true}\n')
        trouble.append("the disk is full")
        assert get(server.url + "/readyz") == (503, '{"ready": false, "why": "the disk is full"}\n')
        assert get(server.url + "/v1/board")[0] == 404
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(Misconfigured, match="another metrics_listen"):
            MetricsServer(("127.0.0.1", port), metrics, check)


def test_the_public_server_says_nothing_of_metrics(tmp_path: Path) -> None:
    with running(tmp_path) as node, pytest.raises(FieldpostError):
        node.http.fetch("/metrics")


def test_every_line_is_one_that_scrapers_understand(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        with_class(node)
        for line in node.metrics.render().splitlines():
            assert line.startswith("# ") or LINE.fullmatch(line), line


def test_freshness_at_risk_is_a_number_that_falls(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        assert "fieldpost_stale_in_seconds +Inf\n" in node.metrics.render()
        world = with_class(node)
        max_age = world.maker.record().policy.max_age_s
        assert f"fieldpost_stale_in_seconds {max_age}\n" in node.metrics.render()
        node.clock[0] = NOW + 30
        assert f"fieldpost_stale_in_seconds {max_age - 30}\n" in node.metrics.render()


def test_commits_and_requests_are_timed_and_posts_counted_by_what_became_of_them(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as node:
        world = with_class(node)
        with pytest.raises(FieldpostError):
            node.post(world, world.maker.registration(name="Again"))
        text = node.metrics.render()
    assert 'fieldpost_posts_total{outcome="included"} 2\n' in text
    assert re.search(r'fieldpost_posts_total\{outcome="(?!included)[a-z-]+"\} 1\n', text)
    assert re.search(r'fieldpost_commit_seconds_bucket\{le="\+Inf"\} [23]\n', text)
    assert re.search(r"fieldpost_publish_seconds_count [1-9]", text)
    assert re.search(r"fieldpost_request_seconds_count [1-9]", text)
    assert "fieldpost_posts_waiting 0\n" in text
    assert re.search(r"process_resident_memory_bytes [0-9]{8,}\n", text)
    assert re.search(r"process_open_fds [1-9]", text)
