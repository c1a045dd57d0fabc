# SPDX-License-Identifier: Apache-2.0
"""Compile the state map's writer (src/fieldpost/statemap/_writing.c), if there is a compiler.

    build_writing.py           compile it in place, as an editable installation does
    build_writing.py --check   warnings are errors; nothing is made

As a hook of hatchling it puts the writer into a wheel, which then is one for this system alone;
HATCH_BUILD_NO_HOOKS=true makes the wheel for every system. Where it cannot be compiled one line
says so, and Python's writer is used. The command of the compiler is `cc`, or what CC says.
"""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = "src/fieldpost/statemap/_writing.c"
MADE: Final = "_writing.abi3.so"
# No debug information and no path: the same compiler makes the same file everywhere.
_OPTIONS: Final = ("-std=c11", "-O2", "-fPIC", "-shared", "-s")
_STRICT: Final = (
    *("-std=c11", "-O2", "-c", "-o", "/dev/null"),
    *("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"),
)
_COMPILER_MOST_S: Final = 120


def missing() -> str | None:
    """What this host lacks to compile it, or None."""
    headers = Path(sysconfig.get_path("include"))
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this interpreter does not load modules of the stable ABI"
    if shutil.which(_compiler()[0]) is None:
        return f"there is no C compiler {_compiler()[0]}"
    if not (headers / "Python.h").exists():
        return f"there is no {headers}/Python.h"
    return None


def compile_writing(target: Path, options: tuple[str, ...] = _OPTIONS) -> str | None:
    """Make `target` and return None, or what stood in the way, in one line."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / MADE
        complaint = _run_compiler((*options, "-o", str(made)))
        if complaint is None:
            # Beside the target, then moved: a process that runs keeps the file that it has mapped.
            new = target.with_name(f"{target.name}.new")
            shutil.copy(made, new)
            new.replace(target)
    return complaint


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def _run_compiler(options: tuple[str, ...]) -> str | None:
    command = [*_compiler(), *options, "-I", sysconfig.get_path("include"), SOURCE, "-ldl"]
    lacking = missing()
    if lacking is not None:
        return lacking
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_COMPILER_MOST_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}"
    if done.returncode:
        return next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
    return None


class WritingHook(BuildHookInterface[Any]):
    """Hatchling's hook for wheels and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the writer, and name the system in the wheel's tag where that worked."""
        if version == "editable":
            target = (ROOT / SOURCE).with_name(MADE)
        else:
            folder = tempfile.mkdtemp()
            atexit.register(shutil.rmtree, folder)
            target = Path(folder) / MADE
        complaint = compile_writing(target)
        if complaint is not None:
            target.unlink(missing_ok=True)
            self.app.display_warning(f"the state map is written in Python: {complaint}")
        elif version != "editable":
            build_data["force_include"][str(target)] = f"fieldpost/statemap/{MADE}"
            build_data["pure_python"] = False
            system = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{system}"


def main() -> int:
    """Compile, or check."""
    lacking = missing()
    if lacking is not None:
        print(f"build_writing: left out: {lacking}", file=sys.stderr)
        return 0
    if sys.argv[1:] == ["--check"]:
        complaint = _run_compiler(_STRICT)
    else:
        complaint = compile_writing((ROOT / SOURCE).with_name(MADE))
    if complaint is not None:
        print(f"build_writing: {complaint}", file=sys.stderr)
    return complaint is not None


if __name__ == "__main__":
    sys.exit(main())
