# SPDX-License-Identifier: Apache-2.0
"""The specification names what the code has: pages, kinds, map keys, labels."""

import re
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.ledger.rules import RULES
from fieldpost.records import map_keys
from tests.unit.records import record_examples as examples

REPOSITORY = Path(__file__).resolve().parents[2]
SPEC = REPOSITORY / "docs" / "spec"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(SPEC.glob("*.md"))}
CDDL = (SPEC / "fieldpost.cddl").read_text(encoding="utf-8")
CITED = re.compile(r"docs/spec/([a-z0-9-]+\.md)")


def test_every_page_that_the_code_cites_exists() -> None:
    missing = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in sorted((REPOSITORY / "src").rglob("*.py"))
        for name in CITED.findall(path.read_text(encoding="utf-8"))
        if name not in PAGES
    }
    assert not missing, f"cited and not written: {sorted(missing)}"


def test_the_index_names_every_page() -> None:
    index = PAGES["README.md"]
    missing = [name for name in PAGES if name != "README.md" and f"]({name})" not in index]
    assert not missing


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_kind_with_a_rule_has_its_section(kind: str) -> None:
    assert any(f"\n## {kind}\n" in text for text in PAGES.values())


def test_every_kind_of_map_key_is_in_the_table() -> None:
    source = Path(map_keys.__file__).read_text(encoding="utf-8")
    kinds = re.findall(r'_key\("([a-z-]+)"', source)
    assert kinds
    missing = {kind for kind in kinds if f'`["{kind}"' not in PAGES["state-map.md"]}
    assert not missing, f"state-map.md lacks {sorted(missing)}"


def _rule(name: str) -> str:
    match = re.search(rf"^{name}\s*=\s*\{{(.*?)^\}}", CDDL, re.MULTILINE | re.DOTALL)
    assert match is not None, f"fieldpost.cddl has no map {name}"
    return match[1]


RECORDS = {
    "board-record": examples.BOARD_RECORD.encode(),
    "maker-record": examples.MAKER_RECORD.encode(),
    "class-record": examples.CLASS_RECORD.encode(),
    "release-record": examples.RELEASE_RECORD.encode(),
    "provisioning-record": examples.PROVISIONING.encode(),
    "head": examples.HEAD.encode(),
}


@pytest.mark.parametrize("name", RECORDS)
def test_the_cddl_has_the_labels_that_the_code_writes(name: str) -> None:
    """The examples are full: every label of the record is in them."""
    record = cbor.decode(RECORDS[name])
    assert isinstance(record, dict)
    # What stands in inner maps and after a semicolon is not a label of this map.
    text = re.sub(r";.*", "", _rule(name))
    while "{" in text:
        text = re.sub(r"\{[^{}]*\}", "", text)
    labels = {int(label) for label in re.findall(r"(?<![\w.])(-?\d+):", text)}
    assert labels == set(record)
