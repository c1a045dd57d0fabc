# SPDX-License-Identifier: Apache-2.0
"""The shipped alert rules parse as PromQL, and name metrics that a node has."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from fieldpost.cli.node_settings import Sources
from tools.write_operations_reference import REFERENCE

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "fieldpost.rules.yml").read_text())["groups"]
    for rule in group["rules"]
]


def known_metrics() -> set[str]:
    page = (REFERENCE / "metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \|", page, re.MULTILINE)
    parts = {
        f"{name}_{end}"
        for name, kind in rows
        if kind == "histogram"
        for end in ("bucket", "sum", "count")
    }
    return {name for name, _ in rows} | parts | {"up"}


def named(expression: str) -> set[str]:
    """Metric names of an expression: words that are no functions, labels or durations."""
    bare = re.sub(r"\"[^\"]*\"|\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", "", expression)
    return {
        word for word in re.findall(r"\b[a-z_]{2,}\b(?! *\()", bare) if word not in {"by", "and"}
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_promql_over_metrics_that_exist_and_says_what_it_means(
    rule: dict[str, Any],
) -> None:
    promql_parser.parse(rule["expr"])
    assert named(rule["expr"])
    assert named(rule["expr"]) <= known_metrics()
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert len(rule["annotations"]["summary"]) > 20
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_a_broken_expression_would_be_found() -> None:
    with pytest.raises(ValueError, match=r"unclosed|parse|invalid|unexpected"):
        promql_parser.parse("rate(fieldpost_ready[5m]")
    assert named('sum by (instance) (rate(x_total{a="b"}[5m])) > no_such_metric') == {
        "x_total",
        "no_such_metric",
    } - {"sum", "rate"}


def test_the_guide_says_what_to_do_at_each_alert() -> None:
    guide = (DEPLOY.parents[1] / "docs" / "operations" / "README.md").read_text()
    missing = [rule["alert"] for rule in RULES if rule["alert"] not in guide]
    assert not missing


def test_the_scrape_example_asks_where_the_example_settings_listen() -> None:
    scrape = yaml.safe_load((DEPLOY / "scrape.yml").read_text())["scrape_configs"][0]
    example = DEPLOY.parent / "node.toml"
    config = Sources(example, {}).load().config
    assert scrape["static_configs"][0]["targets"] == [config.metrics_listen]
