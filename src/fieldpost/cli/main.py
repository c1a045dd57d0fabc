# SPDX-License-Identifier: Apache-2.0
"""`fieldpost`: finds the noun, runs it, and turns error families into exit codes.

Nouns are imported when called, so that `fieldpost --help` and an agent's start stay quick.
"""

import importlib
import io
import os
import sys
from typing import Final

import click

from fieldpost import __version__
from fieldpost.cli.failures import STOPPED, explain, explain_bug, explain_usage, of_system
from fieldpost.errors import FieldpostError

# noun: (module, what the overview says)
NOUNS: Final[dict[str, tuple[str, str]]] = {
    "node": ("node", "Run a board's node."),
    "board": ("board", "Look at a board, and check all of it."),
    "mirror": ("mirror", "Keep a full verified copy of a board, and serve it."),
    "operator": ("operator", "Change a board, attest domains, say what you do not serve."),
    "cluster": ("cluster", "Try a board of several operators on this machine alone."),
    "witness": ("witness", "Cosign what extends all that was cosigned: anybody's log."),
    "maker": ("maker", "Make your keys; register as a maker on a board."),
    "class": ("device_class", "Add a class of devices; write what they are to trust."),
    "lot": ("lot", "Enrol devices, a lot at a time."),
    "release": ("release", "Publish signed releases."),
    "rollout": ("rollout", "Say which devices are offered which release."),
    "advisory": ("advisory", "Say what is wrong with which releases; read what others say."),
    "device": ("device", "Check a device; revoke, suspend or reinstate it."),
    "fleet": ("fleet", "See which devices really run what; post the numbers, if you will."),
    "agent": ("agent", "Run on a device: check in, verify, install, report."),
    "monitor": ("monitor", "Watch a board for your makers; be alarmed."),
    "verify": ("verify", "Verify a file: check-in, receipt, image, provisioning, evidence."),
    "demo": ("demo", "Show the whole line with real firmware, and attack it."),
}
# noun: further modules, whose `commands` it has besides those of its own
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "node": ("node_config", "node_keys", "node_recovery", "node_backup"),
    "board": ("board_fsck", "board_close"),
    "operator": (
        "operator_init",
        "operator_genesis",
        "operator_join",
        "operator_move",
        "operator_run",
        "operator_board",
        "operator_sign",
        "operator_rotation",
        "operator_wipe",
        "operator_votes",
    ),
    "maker": (
        "maker_register",
        "maker_show",
        "maker_boards",
        "maker_rotation",
        "maker_policy",
        "maker_sign",
        "domain_proof",
        "recovery_sheet",
        "maker_join",
        "maker_role_keys",
    ),
    "class": ("class_add", "class_change", "class_trust"),
    "release": ("release_publish", "release_care", "release_export"),
    "rollout": ("rollout_halt",),
    "device": ("device_check",),
    "fleet": ("fleet_summary", "fleet_evidence"),
    "agent": ("agent_factory",),
    "monitor": ("monitor_expect",),
}


def mark_examples(command: click.Command) -> click.Command:
    r"""Turn the `\b` that a raw docstring spells into the mark by which click keeps lines."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for below in command.commands.values():
            mark_examples(below)
    return command


class Nouns(click.Group):
    """The overview, which knows every noun without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """Nouns, in the order in which a maker meets them."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a noun's module and take its `command`."""
        if cmd_name not in NOUNS:
            return None
        module = importlib.import_module(f"fieldpost.cli.{NOUNS[cmd_name][0]}")
        command: click.Command = module.command
        for part in PARTS.get(cmd_name, ()):
            assert isinstance(command, click.Group)  # only groups have parts
            for further in importlib.import_module(f"fieldpost.cli.{part}").commands:
                command.add_command(further)
        return mark_examples(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The nouns and their one-line help, from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(noun, text) for noun, (_, text) in NOUNS.items()])


@click.group(
    cls=Nouns,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: `fieldpost demo`, then docs/tutorial.md. This software is unaudited.",
)
@click.version_option(__version__, prog_name="fieldpost")
def fieldpost() -> None:
    r"""The public bulletin board of software for devices in the field.

    Makers post signed releases on a board that nobody can rewrite; devices verify for themselves
    what they are offered, install it safely, and report.

    \b
    fieldpost demo
    fieldpost node run --data ./board
    fieldpost release publish --help
    """


mark_examples(fieldpost)


def main() -> None:
    """Run the command line and exit: 0, or the code of the error's family."""
    # A file name need not be text, and a terminal need not know every letter.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run())


def _run() -> int:
    try:
        # Commands return nothing; a number is what one gave to `Context.exit`.
        left = fieldpost.main(prog_name="fieldpost", standalone_mode=False)
        sys.stdout.flush()
    except click.Abort:
        click.echo("\nstopped; the same command goes on where it was", err=True)
        return STOPPED
    except click.ClickException as usage:
        return explain_usage(usage)
    except FieldpostError as error:
        return explain(error)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ModuleNotFoundError) as error:
        known = of_system(error)
        return explain_bug(error) if known is None else explain(known)
    except Exception as error:  # noqa: BLE001 - the outermost edge: nothing may look like a refusal
        return explain_bug(error)
    return left if isinstance(left, int) else 0
