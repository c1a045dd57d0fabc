# SPDX-License-Identifier: Apache-2.0
"""The text that a Prometheus scraper reads."""

import pytest

from fieldpost.node.metrics import Metrics


def test_counters_and_gauges_are_rendered_with_their_help() -> None:
    metrics = Metrics()
    metrics.counter("hits_total", "Hits.")
    metrics.gauge("age_seconds", "Age.", lambda: 2.5)
    metrics.count("hits_total", {"code": 'a"b\\c'})
    metrics.count("hits_total", {"code": 'a"b\\c'}, by=2)
    assert metrics.render() == (
        "# HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 2.5\n"
        '# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total{code="a\\"b\\\\c"} 3\n'
    )


def test_a_counter_that_nothing_counted_is_zero() -> None:
    metrics = Metrics()
    metrics.counter("hits_total", "Hits.")
    assert "hits_total 0\n" in metrics.render()


def test_a_counter_must_be_announced() -> None:
    with pytest.raises(KeyError):
        Metrics().count("surprise_total")
