# SPDX-License-Identifier: Apache-2.0
"""The page that operators type has what the try types, and nothing that it leaves out."""

import ast
import re
import shlex
from itertools import chain
from pathlib import Path

import click
import pytest

from fieldpost.cli.main import fieldpost
from tests.deploy import operator_containers, operator_units
from tests.deploy.network import Place
from tests.deploy.page import Page

HERE = Path(__file__).parent
UNITS, CONTAINERS = (Page.read(way.WAY) for way in (operator_units, operator_containers))
# How the program is called there, and what is done in another way than by typing.
CALL = (
    r"^ *(?:runuser -u fieldpost -- fieldpost|podman run .* localhost/fieldpost-operator:\S+) (.+)$"
)
OTHERWISE = {("Install", 0), ("Build", 0), ("Reboots", 0)}
IN_PARENTHESES = re.compile(r"^\(\n.*?^\)$", re.MULTILINE | re.DOTALL)
GOES_ELSEWHERE = re.compile(r"(?:^|[;&|{])\s*(?:cd|pushd|popd)\b", re.MULTILINE)


def typed(page: Page, way: str) -> set[tuple[str, int]]:
    """What `type` is called with in the story and in the way that it is told."""
    found = set()
    for name in ("operators.py", way):
        for node in ast.walk(ast.parse((HERE / name).read_text())):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") == "type"
                and node.args
            ):
                heading, number = ([ast.unparse(word) for word in node.args] + ["0"])[:2]
                if heading.strip("'") in page.blocks:
                    found.add((heading.strip("'"), int(number)))
    return found


@pytest.mark.parametrize(
    ("page", "way"), [(UNITS, "operator_units.py"), (CONTAINERS, "operator_containers.py")]
)
def test_every_block_of_the_page_is_typed(page: Page, way: str) -> None:
    blocks = {(name, n) for name, found in page.blocks.items() for n in range(len(found))}
    assert typed(page, way) == blocks - OTHERWISE


def leaves_its_folder(block: str) -> bool:
    """Whether a shell that typed this is in another folder than before."""
    return GOES_ELSEWHERE.search(IN_PARENTHESES.sub("", block)) is not None


def test_every_block_ends_in_the_folder_where_it_began() -> None:
    for page in (UNITS, CONTAINERS):
        for name, blocks in page.blocks.items():
            assert not any(map(leaves_its_folder, blocks)), name


@pytest.mark.parametrize(
    ("block", "leaves"),
    [
        ("cd data\nls\n", True),
        ("mkdir data && cd data\n", True),
        ("(\n  cd data &&\n  ls\n)\ncd data\n", True),
        ("(\n  cd data &&\n  ls\n)\nls data\n", False),
    ],
)
def test_a_shell_that_goes_elsewhere_is_noticed(block: str, leaves: bool) -> None:
    assert leaves_its_folder(block) is leaves


@pytest.mark.parametrize(
    "line",
    [
        line
        for page in (UNITS, CONTAINERS)
        for block in chain.from_iterable(page.blocks.values())
        for line in re.findall(CALL, block, re.MULTILINE)
    ],
)
def test_its_commands_have_these_options(line: str) -> None:
    words = shlex.split(line.partition(" $(")[0])
    command: click.Command = fieldpost
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_each_operator_types_its_own_name_address_and_the_agreed_time() -> None:
    place = Place("oslo", "10.87.0.2")
    text = UNITS.commands("Keys", 0, of=place, time="2026-01-01T00:00:00Z")
    assert "operator init oslo" in text
    assert "--url http://10.87.0.2 --p2p-address 10.87.0.2:26656" in text
    assert "berlin" not in text
    founding = UNITS.commands("Found the board", 0, of=place, time="2026-01-01T00:00:00Z")
    assert "--time 2026-01-01T00:00:00Z" in founding
