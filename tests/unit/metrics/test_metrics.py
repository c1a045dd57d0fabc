# SPDX-License-Identifier: Apache-2.0
"""The text that a Prometheus scraper reads."""

import pytest

from fieldpost.errors import Unavailable
from fieldpost.metrics.prometheus import Metrics


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


def test_a_histogram_counts_what_lies_below_each_bound() -> None:
    metrics = Metrics()
    observe = metrics.histogram("wait_seconds", "Waiting.")
    for seconds in (0.001, 0.002, 0.3, 60.0):
        observe(seconds)
    lines = metrics.render().splitlines()
    assert 'wait_seconds_bucket{le="0.001"} 1' in lines
    assert 'wait_seconds_bucket{le="0.0025"} 2' in lines
    assert 'wait_seconds_bucket{le="10.0"} 3' in lines
    assert lines[-3:] == [
        'wait_seconds_bucket{le="+Inf"} 4',
        "wait_seconds_sum 60.303",
        "wait_seconds_count 4",
    ]


def test_large_numbers_keep_their_digits() -> None:
    metrics = Metrics()
    metrics.gauge("free_bytes", "Free.", lambda: 123_456_789_012)
    metrics.gauge("never_seconds", "Never.", lambda: float("inf"))
    assert "free_bytes 123456789012\n" in metrics.render()
    metrics.gauge("unknown_seconds", "Unknown.", lambda: float("nan"))
    assert "never_seconds +Inf\n" in metrics.render()
    assert "unknown_seconds NaN\n" in metrics.render()


def test_a_gauge_that_cannot_be_read_now_hides_no_other() -> None:
    def unknown() -> float:
        raise Unavailable("no head yet")

    metrics = Metrics()
    metrics.gauge("a_size", "A.", unknown)
    metrics.gauge("b_size", "B.", lambda: 2)
    assert "a_size NaN\n" in metrics.render()
    assert "b_size 2\n" in metrics.render()
