# SPDX-License-Identifier: Apache-2.0
"""Functions with a reading name that are not fed by themselves, and why.

`THROUGH` names those that others of the targets call; that they do is checked by running the seeds.
`APART` names those that read nothing of strangers, or only through readers that are fed.
"""

from typing import Final

THROUGH: Final[dict[str, str]] = {
    "cbor.read_head": "checkin.bundle.decode_bundle",
    "checkin.verify.follow_board": "checkin.verify.verify_bundle",
    "checkin.verify.follow_maker": "checkin.verify.verify_bundle",
    "checkin.verify.verify_state": "checkin.verify.verify_bundle",
    "checkin.evidence.open_head": "checkin.evidence.verify_evidence",
    "checkin.evidence.open_times": "checkin.evidence.verify_evidence",
    "ledger.maker_chain.read_chain": "ledger.batch.apply_batch",
    "ledger.payloads.decode_in_one_form": "ledger.payloads.decode_ahead",
    "posts.release.read_block": "posts.release.decode_release_sign",
    "records.device_class.read_channel": "records.device_class.decode_class_record",
    "records.device_class.read_device_limits": "records.device_class.decode_class_record",
    "records.device_class.read_interval": "records.device_class.decode_class_record",
    "records.head.read_offer": "records.head.decode_head",
    "records.policy.read_policy": "records.maker.decode_maker_record",
    "records.vkeys.read_cosigner": "records.board.decode_board_record",
    "records.vkeys.read_vkey": "records.board.decode_board_record",
    "suit.digest.read_digest": "suit.envelope.decode_envelope",
}

_LEDGERS_OWN: Final = "finds what rules wrote, by an id; the decoders of what it finds are fed"
_COMMANDS_OWN: Final = "a command's own step over readers that are fed"
APART: Final[dict[str, str]] = {
    **{
        f"ledger.{name}": _LEDGERS_OWN
        for name in (
            "heads.read_head",
            "heads.read_heads",
            "reading.read_class",
            "reading.read_class_counters",
            "reading.read_classes_of",
            "reading.read_count",
            "reading.read_lot",
            "reading.read_maker",
            "reading.read_release",
        )
    },
    **{
        f"cli.{name}": _COMMANDS_OWN
        for name in (
            "advisory.read_advisories",
            "board_chain.read_chain",
            "device_class.read_class",
            "links.verify_with_links",
            "resigning.read_release",
        )
    },
    "node.fleet_alone.open_fleet": "opens a service; its provisioning goes through believe",
    "signers.tokens.open_token_key": "opens a token; its URI is fed",
    **dict.fromkeys(
        ("engines.mirrors.open_mirror", "node.mirrors.open_mirror"),
        "opens a folder or a URL; the log's formats in it are fed",
    ),
    "engines.verifier.decode_answer": "what a process of our own says of posts",
    "engines.reading.read_links": "finds what the ledger wrote, in the node's own database",
    "engines.published.verify_published": "a checkpoint by keys of a record; both are fed",
    "watch.monitor.running.open_monitor": "opens a folder; what is in it is its own",
    "watch.monitor.toml_table.read_toml": "the standard library's parser; who reads it is fed",
    "watch.witness.logs.parse_log_key": "a vkey, fed, of certain types",
    "watch.witness.sources.parse_board_source": "a board id or a URL of the operator's own",
    "store.growing_edge.read_edge": "hashes of the node's own log, whose tiles are fed",
}
