# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator run`: the node of one of several operators, with its CometBFT."""

from dataclasses import replace

import click

from fieldpost.cli.console import json_option
from fieldpost.cli.node import run_node
from fieldpost.cli.node_settings import Sources, settings_options


@click.command(name="run")
@settings_options
@json_option
def run(*, sources: Sources, as_json: bool) -> None:
    r"""Run one operator's node and its CometBFT, until SIGTERM or Ctrl-C.

    As `fieldpost node run` with `engine = "cometbft"`. CometBFT is started, followed, started
    again, and ended by the node; how to get it: docs/operations/cluster.md.

    \b
    fieldpost operator run --config /etc/fieldpost/operator.toml
    """
    options = {**sources.options, "engine": "cometbft"}
    run_node(replace(sources, options=options), as_json=as_json)


commands = (run,)
