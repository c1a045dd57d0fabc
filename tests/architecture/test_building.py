# SPDX-License-Identifier: Apache-2.0
"""The one file of C: strict compilers and sanitizers find nothing, and nobody needs a compiler."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import build_writing

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools" / "build_writing.py"

lacking = build_writing.missing()
compiles = pytest.mark.skipif(
    lacking is not None, reason=f"{lacking}: install a C compiler, then run  make setup"
)


def run(*words: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@compiles
def test_one_source_makes_one_module_wherever_it_is_compiled(tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        target = tmp_path / name / build_writing.MADE
        assert build_writing.compile_writing(target) is None
        made.append(target.read_bytes())
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[0]
    assert str(REPOSITORY).encode() not in made[0]


def test_without_a_compiler_one_line_says_so_and_all_goes_on(tmp_path: Path) -> None:
    done = run(SCRIPT, CC="no-such-compiler")
    assert done.returncode == 0
    assert done.stderr == "build_writing: left out: there is no C compiler no-such-compiler\n"


@compiles
def test_a_compiler_that_fails_is_quoted_in_one_line_and_leaves_what_was_there() -> None:
    before = (REPOSITORY / build_writing.SOURCE).with_name(build_writing.MADE).read_bytes()
    done = run(SCRIPT, CC="cc -Dbit_of=7")
    assert done.returncode == 1
    assert done.stderr.startswith("build_writing: ")
    assert "error: expected identifier" in done.stderr
    assert done.stderr.count("\n") == 1
    after = (REPOSITORY / build_writing.SOURCE).with_name(build_writing.MADE).read_bytes()
    assert after == before


@compiles
@pytest.mark.parametrize(
    ("settings", "tag", "has_it"),
    [
        ({}, "cp311-abi3-", True),
        ({"CC": "no-such-compiler"}, "py3-none-any", False),
        ({"HATCH_BUILD_NO_HOOKS": "true"}, "py3-none-any", False),
    ],
)
def test_a_wheel_with_the_module_names_its_system_and_one_without_is_for_all(
    tmp_path: Path, settings: dict[str, str], tag: str, *, has_it: bool
) -> None:
    command = ("-m", "hatchling", "build", "-t", "wheel", "-d")
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path)],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert tag in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        assert (f"fieldpost/statemap/{build_writing.MADE}" in archive.namelist()) is has_it


# A write of every kind in the module that was compiled into the folder of the first argument.
SANITIZED = """
import importlib.util, sys
from hashlib import sha256
from fieldpost.statemap import writing
from fieldpost.statemap.hashing import encode_leaf
spec = importlib.util.spec_from_file_location("fieldpost.statemap._writing", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
keys = [sha256(bytes([n])).digest() for n in range(200)]
keys += [(1 << bit).to_bytes(32, "big") for bit in range(256)] + [bytes(32)]
tree = None
for n in range(120):
    pairs = {key: bytes(n % 5) for key in keys[n % 60 :: 1 + n % 40]}
    leaves = sorted(encode_leaf(key, value) for key, value in pairs.items())
    expected, made = writing.set_all_in_python(tree, leaves), module.set_all(tree, leaves)
    assert made == expected
    tree = made[0]
    for wrong in ([*leaves, b""], [*leaves, leaves[0]], [*leaves, None]):
        try:
            module.set_all(tree, wrong)
        except ValueError:
            continue
        raise AssertionError("taken")
print("all written")
"""


def runtime_of_sanitizer() -> str | None:
    """The library that must be loaded first, or None: this compiler brings none."""
    if lacking is not None or shutil.which("cc") is None:
        return None
    found = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return found if Path(found).is_absolute() else None


@compiles
def test_the_sanitizers_find_no_wrong_access_and_nothing_undefined(tmp_path: Path) -> None:
    runtime = runtime_of_sanitizer()
    if runtime is None:
        pytest.skip("this compiler has no AddressSanitizer: install GCC with its libasan")
    target = tmp_path / build_writing.MADE
    options = ("-std=c11", "-O1", "-g", "-fPIC", "-shared")
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    assert build_writing.compile_writing(target, (*options, *sanitize)) is None
    # Python itself keeps memory until its end, and its own allocator would hide what is freed.
    done = run(
        *("-c", SANITIZED, target),
        LD_PRELOAD=runtime,
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
    )
    assert (done.returncode, done.stdout) == (0, "all written\n"), done.stderr[-3000:]
