# SPDX-License-Identifier: Apache-2.0
"""Readers of a device's and a maker's own files, of nodes' answers, and of people's words."""

from collections.abc import Iterable
from typing import Final

from fieldpost.agent.config import parse_config
from fieldpost.agent.leaving import read_links
from fieldpost.agent.memory import decode_memory
from fieldpost.agent.power import parse_power
from fieldpost.agent.slots.base import parse_name
from fieldpost.agent.slots.stored_image import parse_facts, parse_images
from fieldpost.cli.ceremony import decode_request, decode_signatures
from fieldpost.cli.dns_txt import encode_question, parse_answer
from fieldpost.cli.factory_csv import parse_public_key, read_table
from fieldpost.cli.maker import parse_threshold
from fieldpost.cli.operator_board import parse_witness
from fieldpost.cli.operator_file import decode_operator_file
from fieldpost.cli.options import parse_share
from fieldpost.cli.rollout import parse_offer
from fieldpost.cli.rollout_conditions import parse_range, parse_window
from fieldpost.cli.views import (
    ArtifactRow,
    BoardView,
    ClassView,
    FleetView,
    PeriodView,
    ReleaseRow,
)
from fieldpost.client.answers import error_of, parse_count, retry_after_s
from fieldpost.client.transport import split_url
from fieldpost.engines.cometbft.base_log import parse_app_state
from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.engines.cometbft.home import parse_peer
from fieldpost.engines.cometbft.light import decode_question
from fieldpost.engines.cometbft.rpc import parse_loopback
from fieldpost.engines.cometbft.snapshots import decode_chunk, decode_metadata
from fieldpost.engines.cometbft.transactions import decode_bundle
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable, Untrusted
from fieldpost.node.api import ranges
from fieldpost.node.config import parse_listen
from fieldpost.signers.pkcs8 import parse_private_key
from fieldpost.signers.pkcs11_uri import parse_token_uri
from fieldpost.signers.software import SoftwareSigner
from fieldpost.store.later import decode_pairs
from fieldpost.watch.monitor.alarm import read_alarm
from fieldpost.watch.monitor.expectations import parse_expectations
from fieldpost.watch.monitor.webhook import read_secret
from tests.fuzz.target import Target, as_json, as_text, as_value


def _lines(data: bytes) -> Iterable[str]:
    return data.decode("utf-8", "surrogateescape").splitlines(keepends=True)


def _private_key(data: bytes) -> object:
    return SoftwareSigner.from_pkcs8(parse_private_key(data, None))


def _error_of(data: bytes) -> object:
    problem = {"content-type": "application/problem+json"}
    return [error_of(status, problem, data) for status in (400, 404, 409, 422, 500)]


OWN: Final[dict[str, Target]] = {
    "watch.monitor.expectations.parse_expectations": Target(parse_expectations, "expectations"),
    "watch.monitor.alarm.read_alarm": Target(as_text(read_alarm), "alarm"),
    "watch.monitor.webhook.read_secret": Target(as_text(read_secret), "secret", (Misconfigured,)),
    "store.later.decode_pairs": Target(lambda data: dict(decode_pairs(data)), "snapshot chunk"),
    # a device's and a maker's own files, and what programs beside them say
    "agent.memory.decode_memory": Target(decode_memory, "memory", (Malformed, Untrusted)),
    "agent.leaving.read_links": Target(read_links, "links"),
    "agent.config.parse_config": Target(
        as_text(lambda text: parse_config(text, channels=("stable",))),
        "agent.toml",
        (Misconfigured,),
    ),
    "agent.power.parse_power": Target(parse_power, "json", (Unavailable,)),
    "agent.slots.stored_image.parse_facts": Target(as_value(parse_facts), "facts"),
    "agent.slots.stored_image.parse_images": Target(as_value(parse_images), "images"),
    "agent.slots.base.parse_name": Target(as_text(parse_name), "words", (Misconfigured,)),
    "signers.pkcs11_uri.parse_token_uri": Target(
        as_text(parse_token_uri), "words", (Misconfigured,)
    ),
    "signers.pkcs8.parse_private_key": Target(_private_key, "key file", (Malformed, Untrusted)),
    "cli.ceremony.decode_request": Target(decode_request, "ceremony request"),
    "cli.ceremony.decode_signatures": Target(decode_signatures, "ceremony signatures"),
    "cli.operator_file.decode_operator_file": Target(decode_operator_file, "operator file"),
    "cli.factory_csv.read_table": Target(lambda d: read_table(_lines(d), b"\x01" * 16), "table"),
    "cli.factory_csv.parse_public_key": Target(as_text(parse_public_key), "table"),
    "cli.dns_txt.parse_answer": Target(
        lambda d: parse_answer(d, encode_question("board.example", 7)), "dns", (Malformed, NotFound)
    ),
    # answers of nodes, words of people
    "client.answers.error_of": Target(_error_of, "json"),
    "client.answers.retry_after_s": Target(
        as_text(lambda text: retry_after_s({"retry-after": text})), "words"
    ),
    "client.answers.parse_count": Target(as_text(parse_count), "words"),
    "client.transport.split_url": Target(as_text(split_url), "words"),
    **{
        f"cli.views.{view.__name__}.parse": Target(as_json(view.parse), "json", (Unavailable,))
        for view in (ArtifactRow, ReleaseRow, BoardView, FleetView, PeriodView, ClassView)
    },
    "cli.maker.parse_threshold": Target(as_text(parse_threshold), "words"),
    "cli.options.parse_share": Target(as_text(parse_share), "words"),
    "cli.rollout.parse_offer": Target(as_text(parse_offer), "words"),
    "cli.rollout_conditions.parse_range": Target(as_text(parse_range), "words"),
    "cli.rollout_conditions.parse_window": Target(as_text(parse_window), "words"),
    "node.config.parse_listen": Target(as_text(parse_listen), "words", (Misconfigured,)),
    "engines.cometbft.genesis.decode_genesis": Target(decode_genesis, "genesis"),
    "engines.cometbft.light.decode_question": Target(decode_question, "light question"),
    "engines.cometbft.snapshots.decode_metadata": Target(decode_metadata, "snapshot metadata"),
    "engines.cometbft.snapshots.decode_chunk": Target(decode_chunk, "snapshot chunk"),
    "engines.cometbft.base_log.parse_app_state": Target(parse_app_state, "app state"),
    "engines.cometbft.transactions.decode_bundle": Target(decode_bundle, "transaction"),
    "cli.operator_board.parse_witness": Target(as_text(parse_witness), "words"),
    "engines.cometbft.home.parse_peer": Target(as_text(parse_peer), "words"),
    "engines.cometbft.rpc.parse_loopback": Target(
        as_text(parse_loopback), "words", (Misconfigured,)
    ),
    "node.api.ranges.parse_range": Target(
        as_text(lambda text: ranges.parse_range(text, size=1_000)), "words"
    ),
}
