# SPDX-License-Identifier: Apache-2.0
"""What the shipped units must do on a machine with systemd, nginx, and of ours the wheel alone.

Each check is a claim, and goes on from where the one before it left the machine.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.conftest import REPOSITORY
from tests.deploy.line import LINE
from tests.deploy.machine import Failed, Machine, NotTried

DEPLOY: Final = REPOSITORY / "deploy"
USERS: Final = ("fieldpost", "fieldpost-witness", "fieldpost-mirror", "fieldpost-monitor")
SITE: Final = "http://127.0.0.1"
BOARD: Final = "http://127.0.0.1:8470"
MOST_EXPOSED: Final = 2.0
_DENIED: Final = ("/etc/x", "/usr/x", "/opt/fieldpost/x")
_MAKERS: Final = (
    "FIELDPOST_PASSPHRASE_FILE=/srv/passphrase",
    "FIELDPOST_HOME=/srv/maker",
    f"FIELDPOST_BOARD={BOARD}",
)


def same(found: object, wanted: object) -> None:
    """Raises Failed for another value."""
    if found != wanted:
        raise Failed(f"{found!r} instead of {wanted!r}")


def main_process(machine: Machine, unit: str) -> str:
    """The process id of a unit."""
    return machine.run("systemctl", "show", "-p", "MainPID", "--value", unit).strip()


def head(machine: Machine, url: str = BOARD) -> bytes:
    """The size and root that a board shows, without cosignatures, which are new every minute."""
    note = machine.run("curl", "-sf", f"{url}/log/checkpoint")
    return note.partition("\n\n")[0].encode()


def ready(machine: Machine, port: int) -> None:
    """Wait until a private address says so."""
    url = f"http://127.0.0.1:{port}/readyz"
    machine.until("curl", "-sf", url, what=f"{url} is ready")


def journal(machine: Machine) -> str:
    """The last lines that the node's unit said."""
    words = ("journalctl", "-u", "fieldpost", "-o", "cat", "--no-pager", "-n", "8")
    return machine.run(*words)


def install_unit(machine: Machine, name: str, *, drop_in: str | None = None) -> None:
    """A file of deploy/systemd where systemd looks for it."""
    text = (DEPLOY / "systemd" / (drop_in or name)).read_text()
    place = f"/etc/systemd/system/{name}" + (f".d/{drop_in}" if drop_in else "")
    machine.write(place, text)
    machine.run("systemctl", "daemon-reload")


def node_starts(machine: Machine) -> None:
    """The operations guide's commands, from where the program is installed, start a node."""
    guide = (REPOSITORY / "docs" / "operations" / "README.md").read_text()
    block = guide[guide.index("```sh\nuseradd ") :].partition("\n```\n")[0]
    shutil.copytree(DEPLOY, machine.root / "srv" / "deploy")
    machine.run("sh", "-e", "-c", f"cd /srv\n{block[block.index('ln -sf ') :]}")
    ready(machine, 8479)


def sandbox_holds(machine: Machine) -> None:
    """No capability, no new privilege, a filter of system calls, and no file but its own."""
    process = main_process(machine, "fieldpost")
    status = machine.run("cat", f"/proc/{process}/status")
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
        if line not in status:
            raise Failed(f"no {line!r} in\n{status}")
    same("Seccomp:\t2" in status, True)
    for path in _DENIED:
        machine.fails("nsenter", "-t", process, "-m", "touch", path)
    same(machine.run("nsenter", "-t", process, "-m", "ls", "/home", "/root").split(":")[0], "/home")
    words = ("systemd-analyze", "security", "--no-pager", "--json=short")
    machine.run(*words, f"--threshold={MOST_EXPOSED:.0f}0", "fieldpost")


def a_device_is_updated(machine: Machine) -> None:
    """The whole line from the wheel alone: posts, uploads into the sandbox, a device's update."""
    machine.write("/srv/line.sh", f"set -e\ncd /srv\n{LINE}")
    said = machine.run("env", *_MAKERS, "sh", "/srv/line.sh", timeout=600)
    same("confirmed: " in said, True)


def it_comes_back_with_all_it_had(machine: Machine) -> None:
    """Restart, and kill -9: the same head, by systemd's own doing."""
    before = head(machine)
    machine.run("systemctl", "restart", "fieldpost")
    ready(machine, 8479)
    same(head(machine), before)
    process = main_process(machine, "fieldpost")
    machine.run("kill", "-9", process)
    different = f'test "$(systemctl show -p MainPID --value fieldpost)" != {process}'
    machine.until("sh", "-c", f"{different} && curl -sf http://127.0.0.1:8479/readyz", what="again")
    same(head(machine), before)


def it_stops_cleanly(machine: Machine) -> None:
    """SIGTERM is a success, and the last word says that all is on the disk."""
    machine.run("systemctl", "stop", "fieldpost")
    shown = machine.run("systemctl", "show", "-p", "Result,ExecMainStatus", "fieldpost")
    same(sorted(shown.split()), ["ExecMainStatus=0", "Result=success"])
    same('"node-stopped"' in journal(machine), True)


def wrong_settings_are_not_tried_again(machine: Machine) -> None:
    """Exit code 78 leaves the unit failed, with the reason in the journal."""
    right = (DEPLOY / "node.toml").read_text()
    machine.write("/etc/fieldpost/node.toml", right + "\nlissten = 1\n")
    machine.fails("systemctl", "start", "fieldpost")  # and says so to whoever starts it
    shown = machine.run("systemctl", "show", "-p", "NRestarts,ActiveState", "fieldpost")
    same(sorted(shown.split()), ["ActiveState=failed", "NRestarts=0"])
    same("lissten" in journal(machine), True)
    machine.write("/etc/fieldpost/node.toml", right)
    machine.run("systemctl", "reset-failed", "fieldpost")
    machine.run("systemctl", "start", "fieldpost")
    ready(machine, 8479)


def nginx_serves_the_board(machine: Machine) -> None:
    """The site as shipped, by nginx's own unit: log as files, check-ins through the node."""
    site = (DEPLOY / "nginx" / "fieldpost.conf").read_text()
    machine.run("rm", "/etc/nginx/sites-enabled/default")
    machine.write("/etc/nginx/sites-enabled/fieldpost.conf", site)
    machine.run("adduser", "--quiet", "www-data", "fieldpost")
    machine.run("systemctl", "unmask", "nginx")
    machine.run("systemctl", "start", "nginx")
    same(head(machine, SITE), head(machine))
    shown = machine.run("env", *_MAKERS, "fieldpost", "class", "show", "lamp:r1", "--json")
    path = f"/v1/checkin/{json.loads(shown)['class']}/stable"
    asked = [machine.run("sh", "-c", f"curl -sf {url}{path} | sha256sum") for url in (BOARD, SITE)]
    same(asked[0], asked[1])
    device = ("fieldpost", "agent", "once", "--home", "/srv/lamp")
    same(machine.run(*device) != "", True)


def certificate(machine: Machine, name: str) -> None:
    """A new certificate and key where the settings name them."""
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    files = ("-keyout", "/etc/fieldpost/new.key", "-out", "/etc/fieldpost/new.pem")
    machine.run(*words, "-nodes", "-days", "30", "-subj", f"/CN={name}", *files)
    machine.run("chgrp", "fieldpost", "/etc/fieldpost/new.key")
    machine.run("chmod", "0640", "/etc/fieldpost/new.key")
    for kind in ("key", "pem"):
        machine.run("mv", f"/etc/fieldpost/new.{kind}", f"/etc/fieldpost/tls.{kind}")


def shown_name(machine: Machine) -> str:
    """The name in the certificate that the node shows."""
    ask = "openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null"
    return machine.run("sh", "-c", f"{ask} | openssl x509 -noout -subject").strip()


def a_certificate_is_taken_at_reload(machine: Machine) -> None:
    """`systemctl reload` shows the new certificate, by the same process."""
    certificate(machine, "first")
    text = (DEPLOY / "node.toml").read_text()
    text = text.replace('["127.0.0.1:8470"]', '["127.0.0.1:8470", "127.0.0.1:8443"]')
    tls = '\n[tls]\ncertificate = "/etc/fieldpost/tls.pem"\nkey = "/etc/fieldpost/tls.key"\n'
    machine.write("/etc/fieldpost/node.toml", text + tls)
    machine.run("systemctl", "restart", "fieldpost")
    ready(machine, 8479)
    process = main_process(machine, "fieldpost")
    same(shown_name(machine), "subject=CN = first")
    certificate(machine, "second")
    machine.run("systemctl", "reload", "fieldpost")
    ask = "openssl s_client -connect 127.0.0.1:8443 </dev/null 2>/dev/null"
    machine.until(
        "sh", "-c", f"{ask} | openssl x509 -noout -subject | grep -q second", what="the new one"
    )
    same(main_process(machine, "fieldpost"), process)
    machine.write("/etc/fieldpost/node.toml", (DEPLOY / "node.toml").read_text())
    machine.run("systemctl", "restart", "fieldpost")
    ready(machine, 8479)


def it_serves_443_itself(machine: Machine) -> None:
    """Without nginx, by the drop-in, and by it alone; nothing but that right is given."""
    text = (DEPLOY / "node.toml").read_text().replace('"127.0.0.1:8470"', '"127.0.0.1:443"')
    tls = '\n[tls]\ncertificate = "/etc/fieldpost/tls.pem"\nkey = "/etc/fieldpost/tls.key"\n'
    machine.write("/etc/fieldpost/node.toml", text + tls)
    machine.fails("systemctl", "restart", "fieldpost")
    same("low-port.conf" in journal(machine), True)
    install_unit(machine, "fieldpost.service", drop_in="low-port.conf")
    machine.run("systemctl", "reset-failed", "fieldpost")
    machine.run("systemctl", "start", "fieldpost")
    ready(machine, 8479)
    machine.run("curl", "-skf", "https://127.0.0.1/v1/board")
    status = machine.run("cat", f"/proc/{main_process(machine, 'fieldpost')}/status")
    same("CapEff:\t0000000000000400" in status and "CapBnd:\t0000000000000400" in status, True)
    machine.run("rm", "/etc/systemd/system/fieldpost.service.d/low-port.conf")
    machine.run("systemctl", "daemon-reload")
    machine.write("/etc/fieldpost/node.toml", (DEPLOY / "node.toml").read_text())
    machine.run("systemctl", "restart", "fieldpost")
    ready(machine, 8479)


def a_witness_cosigns(machine: Machine) -> None:
    """The witness's unit; the board demands it, and shows its line."""
    install_unit(machine, "fieldpost-witness.service")
    data = "/var/lib/fieldpost-witness"
    machine.run("install", "-d", "-o", "fieldpost-witness", "-m", "0700", data)
    init = ("fieldpost", "witness", "init", "--data", data, "--name", "witness.example/w1")
    said = machine.run(*init, "--json", user="fieldpost-witness")
    key = next(word for word in said.split('"') if word.startswith("witness.example/w1+"))
    machine.write("/etc/fieldpost/witness.env", f"WITNESSED=--board {BOARD}\n")
    machine.run("systemctl", "start", "fieldpost-witness")
    ready(machine, 8476)
    change = (
        "fieldpost",
        "operator",
        "board-set",
        "--data",
        "/var/lib/fieldpost",
        "--board",
        BOARD,
    )
    witness = ("--witness", f"{key}@http://127.0.0.1:8475", "--witnesses-needed", "1", "--yes")
    machine.run(*change, *witness, user="fieldpost")
    line = "curl -sf http://127.0.0.1:8470/log/checkpoint | grep -q '^— witness.example/w1 '"
    machine.until("sh", "-c", line, what="the witness's line")


def a_mirror_follows(machine: Machine) -> None:
    """The mirror's unit copies the board, and hands out what the node does."""
    install_unit(machine, "fieldpost-mirror.service")
    board = json.loads(machine.run("curl", "-sf", f"{BOARD}/v1/board"))["board"]
    machine.write("/etc/fieldpost/mirror.env", f"MIRRORED={BOARD} --board {board} --blobs\n")
    machine.run("systemctl", "start", "fieldpost-mirror")
    ready(machine, 8472)
    same(head(machine, "http://127.0.0.1:8471"), head(machine))


def a_monitor_watches(machine: Machine) -> None:
    """The monitor's unit, with expectations as its command writes them, finds nothing wrong."""
    install_unit(machine, "fieldpost-monitor.service")
    maker = json.loads(machine.run("cat", "/srv/maker/maker.json"))["maker"]
    expect = ("fieldpost", "monitor", "expect", "--maker", maker, "--board", BOARD)
    machine.write("/etc/fieldpost/expected.toml", machine.run(*expect))
    watched = f"WATCHED=--board {BOARD} --board http://127.0.0.1:8471"
    watched += " --expect /etc/fieldpost/expected.toml\n"
    machine.write("/etc/fieldpost/monitor.env", watched)
    machine.run("systemctl", "start", "fieldpost-monitor")
    ready(machine, 8477)


def every_sandbox_is_tight(machine: Machine) -> None:
    """`systemd-analyze security` of all units as they run; and all of them stop cleanly."""
    for user in USERS:
        words = ("systemd-analyze", "security", "--no-pager")
        machine.run(*words, f"--threshold={MOST_EXPOSED:.0f}0", user)
        machine.run("systemctl", "stop", user)
        same(machine.run("systemctl", "show", "-p", "Result", "--value", user).strip(), "success")


def an_operator_runs(machine: Machine) -> None:
    """The drop-in makes the unit an operator's, with its CometBFT under the same sandbox."""
    program = shutil.which("cometbft") or str(Path.home() / "go" / "bin" / "cometbft")
    if not Path(program).exists():
        raise NotTried("CometBFT is not here: run  make cluster-deps")
    shutil.copy(program, machine.root / "opt/fieldpost/bin/cometbft")
    install_unit(machine, "fieldpost.service", drop_in="operator.conf")
    machine.run("sh", "-c", "rm -rf /var/lib/fieldpost/* /var/lib/fieldpost/.[a-z]*")
    here = ("--origin", "board.example/1", "--url", BOARD, "--p2p-address", "127.0.0.1:26656")
    data, settings = "/var/lib/fieldpost", "/etc/fieldpost/operator.toml"
    public = f"{data}/berlin.operator"
    operator = ("fieldpost", "operator")
    words = (*here, "--data", data, "--out", public)
    machine.run(*operator, "init", "berlin", *words, user="fieldpost")
    founded = ("--time", "2026-01-31T12:00:00Z", "--data", data, "--yes")
    out = ("--out", f"{data}/berlin.signatures", "--settings", f"{data}/operator.toml")
    machine.run(*operator, "genesis", public, *founded, *out, user="fieldpost")
    machine.run("mv", f"{data}/operator.toml", settings)
    machine.write(settings, 'metrics_listen = "127.0.0.1:8479"\n' + machine.run("cat", settings))
    machine.run("systemctl", "start", "fieldpost")
    ready(machine, 8479)
    same(head(machine).startswith(b"board.example/1"), True)
    process = main_process(machine, "fieldpost")
    children = machine.run("pgrep", "-P", process, "cometbft").split()
    same(len(children), 1)
    same("Seccomp:\t2" in machine.run("cat", f"/proc/{children[0]}/status"), True)
    machine.run("systemctl", "stop", "fieldpost")
    same(
        machine.run("systemctl", "show", "-p", "Result", "--value", "fieldpost").strip(), "success"
    )


CHECKS: Final[tuple[Callable[[Machine], None], ...]] = (
    node_starts,
    sandbox_holds,
    a_device_is_updated,
    it_comes_back_with_all_it_had,
    it_stops_cleanly,
    wrong_settings_are_not_tried_again,
    nginx_serves_the_board,
    a_certificate_is_taken_at_reload,
    it_serves_443_itself,
    a_witness_cosigns,
    a_mirror_follows,
    a_monitor_watches,
    every_sandbox_is_tight,
    an_operator_runs,
)
