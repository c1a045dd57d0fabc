# SPDX-License-Identifier: Apache-2.0
"""Write docs/reference/openapi.json: the HTTP interface of node and fleet service, OpenAPI 3.1.

    python tools/write_openapi.py            write the document
    python tools/write_openapi.py --check    exit 1 if the document no longer shows the code

Paths, methods and summaries come from the routes and their handlers; what stands here are types.
A route of which nothing stands here ends the program.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from starlette.routing import Route

from fieldpost import __version__
from fieldpost.node.api import health, problems
from fieldpost.node.api.cosignatures import MOST_WAIT_S
from fieldpost.node.api.problems import CONTENT_TYPE, PROBLEMS
from fieldpost.node.app import BOARD_NOUNS, FLEET_NOUNS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "openapi.json"

JSON: Final = "application/json"
CBOR: Final = "application/cbor"
TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"
BUNDLE: Final = "application/vnd.fieldpost.checkin+cbor"
ENVELOPE: Final = "application/suit-envelope+cose"
PERIOD: Final = {name: {"type": "integer", "minimum": 0} for name in ("from", "to")}

# What 200 carries, and which query parameters there are, by path.
ANSWERS: Final[dict[str, tuple[tuple[str, ...], dict[str, Any]]]] = {
    "/log/checkpoint": ((TEXT,), {}),
    "/log/tile/{path}": ((BYTES,), {}),
    "/v1/posts": ((JSON,), {}),
    "/v1/receipts/{digest}": ((TEXT,), {}),
    "/v1/checkin/{class_id}/{channel}": ((BUNDLE,), {}),
    "/v1/checkin/{class_id}/{channel}/mldsa": ((BUNDLE,), {}),
    "/v1/proof/{key}": ((BUNDLE,), {"maker": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}),
    "/v1/manifests/{digest}": ((ENVELOPE,), {}),
    "/v1/blobs/sha256/{digest}": ((BYTES,), {}),
    "/v1/board": ((JSON, CBOR), {"since": {"type": "integer", "minimum": -1}}),
    "/v1/cosignatures/{size}": (
        (TEXT,),
        {"wait": {"type": "integer", "minimum": 0, "maximum": MOST_WAIT_S}},
    ),
    "/v1/makers/{maker}": ((JSON,), {}),
    "/v1/makers/{maker}/links": ((CBOR,), {"since": {"type": "integer", "minimum": -1}}),
    "/v1/classes/{class_id}": ((JSON,), {}),
    "/v1/classes/{class_id}/releases": ((JSON,), {}),
    "/v1/lots/{lot}": ((JSON,), {}),
    "/v1/lots/{lot}/leaves": ((), {}),
    "/v1/devices/{device}": ((CBOR,), {}),
    "/v1/reports": ((), {}),
    "/v1/fleet/heads": ((JSON,), {"after": {"type": "integer", "minimum": 0}}),
    "/v1/fleet/evidence": ((JSON,), {"after": {"type": "integer", "minimum": 0}}),
    "/v1/fleet/devices/{device}": ((JSON,), {}),
    "/v1/fleet/{class_id}": ((JSON,), {}),
    "/v1/fleet/{class_id}/period": ((JSON,), PERIOD),
    "/v1/fleet/{class_id}/period/{device}": ((JSON,), PERIOD),
    "/healthz": ((TEXT,), {}),
    "/readyz": ((TEXT,), {}),
    "/problems/{name}": ((TEXT,), {}),
}
# What a request carries, and the status of success.
BODIES: Final[dict[tuple[str, str], tuple[tuple[str, ...], int]]] = {
    ("post", "/v1/posts"): (("application/cose", "application/cbor-seq"), 200),
    ("put", "/v1/manifests/{digest}"): ((ENVELOPE,), 204),
    ("patch", "/v1/blobs/sha256/{digest}"): (("application/partial-upload",), 204),
    ("put", "/v1/lots/{lot}/leaves"): ((CBOR,), 204),
    ("post", "/v1/reports"): (
        ("application/eat+cwt", "application/vnd.fieldpost.relayed-report"),
        204,
    ),
    ("post", "/v1/fleet/evidence"): (("application/vnd.fieldpost.evidence+cbor",), 204),
}
_HEX: Final = {
    **dict.fromkeys(("digest", "key", "device"), 64),
    **dict.fromkeys(("class_id", "maker", "lot"), 32),
}
_UPLOAD_HEADERS: Final = {
    "Upload-Offset": {"type": "integer", "minimum": 0},
    "Upload-Complete": {"type": "string", "enum": ["?0", "?1"]},
}


def routes() -> Iterator[tuple[str, Route]]:
    """Every route of a whole node, by its path as OpenAPI writes it."""
    for noun in (*BOARD_NOUNS, *FLEET_NOUNS, health, problems):
        for route in noun.routes:
            yield route.path.replace(":path}", "}"), route


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for path, route in routes():
        for method in sorted(route.methods or ()):
            summary = (route.endpoint.__doc__ or "").partition("\n")[0]
            paths.setdefault(path, {})[method.lower()] = _operation(path, method.lower(), summary)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fieldpost node and fleet service",
            "version": __version__,
            "summary": "Everything that a verifier needs is verified, not believed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"permit": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Problem": _problem()},
            "responses": {
                "problem": {
                    "description": "A problem document (RFC 9457) that says what to do.",
                    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _operation(path: str, method: str, summary: str) -> dict[str, Any]:
    types, query = ANSWERS[path]
    kinds, status = BODIES.get((method, path), ((), 200))
    operation: dict[str, Any] = {
        "operationId": f"{method} {path}",
        "summary": summary,
        "parameters": [*_path_parameters(path), *_parameters("query", query)],
        "responses": {str(status): _success(types if status == 200 else (), method)},
    }
    if kinds:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
        operation["requestBody"] = {"required": True, "content": content}
    if path.startswith("/v1/blobs"):
        operation["security"] = [{"permit": []}] if method == "patch" else [{}, {"permit": []}]
        if method == "patch":
            operation["parameters"] += _parameters("header", _UPLOAD_HEADERS, required=True)
        if method == "head":
            operation["responses"]["204"] = {"description": "An upload is under way, or none."}
        else:
            operation["responses"]["206"] = {"description": "The range that was asked for."}
    statuses = {str(problem.status) for problem in PROBLEMS.values()} | {"405"}
    for number in sorted(statuses - operation["responses"].keys()):
        operation["responses"][number] = {"$ref": "#/components/responses/problem"}
    if method in ("get", "head"):
        operation["responses"]["304"] = {"description": "The client has it."}
    return operation


def _success(types: tuple[str, ...], method: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Done." if not types else "As the summary says."}
    if types and method != "head":
        answer["content"] = {kind: {} for kind in types}
    return answer


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    schemas = {
        name: {"type": "string", "pattern": f"^[0-9a-f]{{{_HEX[name]}}}$"}
        if name in _HEX
        else {"type": "string", "minLength": 1}
        for name in names
    }
    return _parameters("path", schemas, required=True)


def _parameters(
    where: str, schemas: dict[str, Any], *, required: bool = False
) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": where, "required": required, "schema": schema}
        for name, schema in schemas.items()
    ]


def _problem() -> dict[str, Any]:
    names = ("type", "title", "detail", "next", "name", "reason", "current")
    texts = {name: {"type": "string"} for name in names}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail", "next"],
        "properties": {**texts, "status": {"type": "integer"}, "code": {"type": "integer"}},
    }


def main() -> int:
    """Write or check the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/reference/openapi.json no longer shows the code. Run: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
