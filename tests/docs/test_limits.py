# SPDX-License-Identifier: Apache-2.0
"""No limit strays: a number of the code is on the page of limits, or it is no limit."""

import ast
import importlib

from tools import write_limits

# Labels, versions, exit codes, numbers of standards and of mathematics, units.
NO_LIMITS = {
    *(
        "VERSION",
        "FIRST_VERSION",
        "CATALOG_VERSION",
        "STATE_DB_VERSION",
        "_VERSION",
        "_FORMAT",
        "_NAMED_SINCE",
    ),
    *("REVERTED", "UNFIT", "YES", "NO", "UNPROVEN", "USAGE", "BUG", "STOPPED", "_MALFORMED"),
    *("_TXT", "_IN", "SIGN", "SIGN1", "ENVELOPE", "SHA_256", "REPORT_ALL", "ED25519"),
    *("COSIGNATURE_ED25519", "COSIGNATURE_MLDSA44", "_P", "_L", "_D", "_SQRT_M1", "_P256_N"),
    *("_Y8", "KEY_BITS", "_KEY_AT", "_KEY_END", "_TOP", "FULL_WIDTH", "PAGE_DEVICES", "MIB"),
    *("GIB", "_DAY", "NOTHING", "OPERATOR", "_NEW", "FULL_THRESHOLD", "_LARGE"),
    *("_PR_SET_PDEATHSIG", "APP_VERSION", "_ACCEPT", "_DOUBLED"),
    *("_LEVEL", "_BUNDLE_LEVEL", "BUNDLE_LEVEL", "_WINDOW_LOG", "_CHUNK", "FULL"),
    *("FORMAT", "_REJECT", "_REJECT_FORMAT", "_RETRY_CHUNK", "_REJECT_SNAPSHOT"),
    *("ALARMED", "MISBEHAVED", "BLIND", "_MINUTES"),
}


def test_every_number_is_on_the_page_of_limits_or_is_none() -> None:
    shown = {(where, name) for where, name, _ in write_limits.limits()}
    assert len(shown) > 150
    stray = set()
    for path in sorted(write_limits.SOURCE.rglob("*.py")):
        parts = path.relative_to(write_limits.SOURCE).with_suffix("").parts
        if parts[0] in write_limits.APART:
            continue
        where = ".".join(part for part in parts if part != "__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            name = getattr(getattr(node, "target", None), "id", "")
            if not isinstance(node, ast.AnnAssign) or not name.isupper():
                continue
            value = getattr(importlib.import_module(f"fieldpost.{where}".rstrip(".")), name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and (where, name) not in shown and name not in NO_LIMITS:
                stray.add(f"{where}.{name}")
    assert not stray, "a limit is named as one (tools/write_limits.py), or stands in NO_LIMITS"
