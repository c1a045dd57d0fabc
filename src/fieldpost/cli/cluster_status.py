# SPDX-License-Identifier: Apache-2.0
"""How the operators of a cluster are, seen from outside: their processes and what they show."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from fieldpost.cli.cluster_plan import Member, Plan, read_plan
from fieldpost.cli.cluster_supervisor import trouble_of
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, NotFound
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint

_PROBE_S: Final = 5.0


def status_of(member: Member) -> dict[str, object]:
    """One operator. `cometbft` is the process id of its CometBFT, `size` the published one."""
    pids = processes_of(member)
    return {
        "name": member.name,
        "url": member.url,
        "node": pids[0] if pids else None,
        "cometbft": pids[1] if len(pids) > 1 else None,
        "size": _published_size(member) if pids else None,
        "trouble": trouble_of(member) if pids else f"no process ({member.wanted} is wanted)",
    }


def processes_of(member: Member) -> list[int]:
    """The operator's processes: its node, then its CometBFT and what else the node has started."""
    pid = member.pid
    return [] if pid is None or not alive(pid) else [pid, *_children(pid)]


def alive(pid: int) -> bool:
    """Whether there is such a process, and it did not only leave its exit code behind."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def supervisor_pid(plan: Plan) -> int | None:
    """The process that keeps the cluster, if there is one."""
    with suppress(OSError, ValueError):
        pid = int((plan.folder / "pid").read_text())
        if alive(pid):
            return pid
    return None


def need_supervisor(folder: Path) -> Plan:
    """The plan of a cluster that is up. Raises NotFound."""
    plan = read_plan(folder)
    if supervisor_pid(plan) is None:
        raise NotFound(f"the cluster in {folder} is not up: start it with `fieldpost cluster up`")
    return plan


def _children(pid: int) -> list[int]:
    """Child processes, CometBFT's first."""
    found: list[tuple[bool, int]] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            rest = path.read_text().rpartition(")")[2].split()
            if int(rest[1]) == pid and rest[0] != "Z":
                child = int(path.parent.name)
                name = (path.parent / "comm").read_text().strip()
                found.append((not name.startswith("cometbft"), child))
    return [child for _, child in sorted(found)]


def _published_size(member: Member) -> int | None:
    try:
        with HttpClient(member.url, timeout_s=_PROBE_S, total_s=_PROBE_S) as http:
            note = parse_note(http.fetch("/log/checkpoint"))
        return parse_checkpoint(note.text).size
    except FieldpostError:
        return None
