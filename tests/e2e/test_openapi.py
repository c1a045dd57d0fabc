# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document against the routes, and by schemathesis against a running node."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.e2e.test_node_process import node
from tools import write_openapi

PAGE = REPOSITORY / "docs" / "reference" / "openapi.json"
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)


def test_every_route_is_in_the_document_and_nothing_else() -> None:
    paths = json.loads(PAGE.read_text(encoding="utf-8"))["paths"]
    shown = {(path, method) for path, methods in paths.items() for method in methods}
    there = {
        (path, method.lower())
        for path, route in write_openapi.routes()
        for method in route.methods or ()
    }
    assert shown == there
    assert set(write_openapi.ANSWERS) == {path for path, _ in there}
    assert set(write_openapi.BODIES) == {
        (method, path) for path, method in there if method not in ("get", "head")
    }


@pytest.mark.e2e
def test_a_running_node_keeps_to_the_document(tmp_path: Path) -> None:
    """Thousands of good and bad requests: no 5xx, no status, type or problem that is not in it."""
    if find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed: run  make setup")
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(PAGE)]
    options = ["--phases", "coverage,fuzzing", "--max-examples", "3", "--checks", CHECKS]
    with node(tmp_path / "data") as process:
        ran = subprocess.run(
            [*command, "--url", process.url, *options, "--generation-deterministic", "--no-color"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        )
        assert process.popen.poll() is None
    assert ran.returncode == 0, ran.stdout[-6_000:]
