# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node config`: are a node's settings right, and where does each come from?"""

from pathlib import Path

import click

from fieldpost.cli.console import json_option, printable, show_json, table
from fieldpost.cli.node_settings import Sources, settings_options


@click.group()
def config() -> None:
    """Look at a node's settings before it is started with them."""


@config.command()
@settings_options
@json_option
@click.pass_context
def check(
    context: click.Context,
    *,
    sources: Sources,
    as_json: bool,
) -> None:
    r"""Say everything that is wrong with the settings; nothing is started or changed.

    Exit code 78 if anything is wrong. Run it as the user that the node runs as: folders, key files,
    certificate and room on the disk are looked at too. An address that is taken shows at the start.

    \b
    fieldpost node config check --config /etc/fieldpost/node.toml
    """
    from fieldpost.cli.failures import exit_code
    from fieldpost.node.config_check import look_around
    from fieldpost.node.config_sources import Misconfigurations

    try:
        troubles = list(look_around(sources.load().config))
    except Misconfigurations as found:
        troubles = found.troubles
    if as_json:
        show_json({"ok": not troubles, "wrong": troubles})
    for trouble in () if as_json else troubles:
        click.echo(click.style("wrong: ", fg="red") + printable(trouble), err=True)
    if troubles:
        context.exit(exit_code(Misconfigurations(troubles)))
    if not as_json:
        click.echo("the settings are right")


@config.command(name="show")
@settings_options
@json_option
def show_settings(
    *,
    sources: Sources,
    as_json: bool,
) -> None:
    r"""Show every setting, its value, and where that comes from.

    No setting is a secret: settings name the files that hold secrets.

    \b
    fieldpost node config show --config /etc/fieldpost/node.toml
    """
    sourced = sources.load()
    rows = [
        {"setting": name, "value": _plain(value), "from": origin_of_value}
        for name, value, origin_of_value in sourced.values()
    ]
    if not as_json:
        rows = [row | {"value": _words(row["value"])} for row in rows]
    table(rows, as_json=as_json, empty="")


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _words(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


commands = (config,)
