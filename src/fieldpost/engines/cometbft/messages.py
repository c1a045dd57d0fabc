# SPDX-License-Identifier: Apache-2.0
"""The messages of ABCI 2.0, as far as this application reads or writes them.

Names of messages are not on the wire, field numbers and types are; they are those of CometBFT
0.38 to 0.40 (`proto/tendermint/abci/types.proto`). A field that is not declared here is skipped.
The classes are made at import, in a pool of their own, so that no other program's `tendermint`
messages can collide with them.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE: Final = "fieldpost.abci"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "bool": _Field.TYPE_BOOL,
}
# message: fields as "number name type", `*` before the type for a repeated one. Enumerations are
# numbers: int32 has the same form on the wire. What a union holds is in `_UNIONS`.
_MESSAGES: Final[dict[str, str]] = {
    "Empty": "",
    "Time": "1 seconds int64, 2 nanos int32",
    "Key": "1 ed25519 bytes",
    "ValidatorUpdate": "1 pub_key Key, 2 power int64",
    "Snapshot": "1 height uint64, 2 format uint32, 3 chunks uint32, 4 hash bytes, 5 metadata bytes",
    "Text": "1 message string",
    "InfoRequest": "1 version string, 2 block_version uint64, 3 p2p_version uint64, "
    "4 abci_version string",
    "InfoResponse": "1 data string, 2 version string, 3 app_version uint64, "
    "4 last_block_height int64, 5 last_block_app_hash bytes",
    "InitChainRequest": "1 time Time, 2 chain_id string, 4 validators *ValidatorUpdate, "
    "5 app_state_bytes bytes, 6 initial_height int64",
    "InitChainResponse": "2 validators *ValidatorUpdate, 3 app_hash bytes",
    "QueryRequest": "1 data bytes, 2 path string, 3 height int64, 4 prove bool",
    "QueryResponse": "1 code uint32, 3 log string, 7 value bytes, 9 height int64",
    "CheckTxRequest": "1 tx bytes, 2 type int32",
    "CheckTxResponse": "1 code uint32, 2 data bytes, 3 log string, 8 codespace string",
    "CommitResponse": "3 retain_height int64",
    "ListSnapshotsResponse": "1 snapshots *Snapshot",
    "OfferSnapshotRequest": "1 snapshot Snapshot, 2 app_hash bytes",
    "OfferSnapshotResponse": "1 result int32",
    "LoadChunkRequest": "1 height uint64, 2 format uint32, 3 chunk uint32",
    "LoadChunkResponse": "1 chunk bytes",
    "ApplyChunkRequest": "1 index uint32, 2 chunk bytes, 3 sender string",
    "ApplyChunkResponse": "1 result int32, 2 refetch_chunks *uint32, 3 reject_senders *string",
    "PrepareRequest": "1 max_tx_bytes int64, 2 txs *bytes, 5 height int64",
    "PrepareResponse": "1 txs *bytes",
    "ProcessRequest": "1 txs *bytes, 5 height int64",
    "ProcessResponse": "1 status int32",
    "ExtendVoteResponse": "1 vote_extension bytes",
    "VerifyVoteResponse": "1 status int32",
    "FinalizeRequest": "1 txs *bytes, 3 misbehavior *Misbehavior, 4 hash bytes, 5 height int64, "
    "6 time Time, 8 proposer_address bytes",
    "Misbehavior": "1 type int32, 2 validator Validator, 3 height int64, 4 time Time",
    "Validator": "1 address bytes, 3 power int64",
    "FinalizeResponse": "2 tx_results *TxResult, 3 validator_updates *ValidatorUpdate, "
    "5 app_hash bytes",
    "TxResult": "1 code uint32, 2 data bytes, 3 log string, 8 codespace string",
    "InsertTxResponse": "1 code uint32",
    "ReapTxsResponse": "1 txs *bytes",
    "ExceptionResponse": "1 error string",
}
_UNIONS: Final[dict[str, str]] = {
    "Request": "1 echo Text, 2 flush Empty, 3 info InfoRequest, 5 init_chain InitChainRequest, "
    "6 query QueryRequest, 8 check_tx CheckTxRequest, 11 commit Empty, 12 list_snapshots Empty, "
    "13 offer_snapshot OfferSnapshotRequest, 14 load_snapshot_chunk LoadChunkRequest, "
    "15 apply_snapshot_chunk ApplyChunkRequest, 16 prepare_proposal PrepareRequest, "
    "17 process_proposal ProcessRequest, 18 extend_vote Empty, 19 verify_vote_extension Empty, "
    "20 finalize_block FinalizeRequest, 21 insert_tx Empty, 22 reap_txs Empty",
    "Response": "1 exception ExceptionResponse, 2 echo Text, 3 flush Empty, 4 info InfoResponse, "
    "6 init_chain InitChainResponse, 7 query QueryResponse, 9 check_tx CheckTxResponse, "
    "12 commit CommitResponse, 13 list_snapshots ListSnapshotsResponse, "
    "14 offer_snapshot OfferSnapshotResponse, 15 load_snapshot_chunk LoadChunkResponse, "
    "16 apply_snapshot_chunk ApplyChunkResponse, 17 prepare_proposal PrepareResponse, "
    "18 process_proposal ProcessResponse, 19 extend_vote ExtendVoteResponse, "
    "20 verify_vote_extension VerifyVoteResponse, 21 finalize_block FinalizeResponse, "
    "22 insert_tx InsertTxResponse, 23 reap_txs ReapTxsResponse",
}


def _declare(message: descriptor_pb2.DescriptorProto, fields: str, *, union: bool) -> None:
    if union:
        message.oneof_decl.add(name="value")
    for field in filter(None, fields.split(", ")):
        number, name, kind = field.split(" ")
        declared = message.field.add(name=name, number=int(number))
        declared.label = _Field.LABEL_REPEATED if kind[0] == "*" else _Field.LABEL_OPTIONAL
        kind = kind.removeprefix("*")
        if kind in _SCALARS:
            declared.type = _SCALARS[kind]
        else:
            declared.type = _Field.TYPE_MESSAGE
            declared.type_name = f".{_PACKAGE}.{kind}"
        if union:
            declared.oneof_index = 0


def _make() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="fieldpost/abci.proto", package=_PACKAGE, syntax="proto3"
    )
    for declared, union in ((_MESSAGES, False), (_UNIONS, True)):
        for name, fields in declared.items():
            _declare(file.message_type.add(name=name), fields, union=union)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in (*_MESSAGES, *_UNIONS)
    }


_CLASSES: Final = _make()
Request: Final = _CLASSES["Request"]
Response: Final = _CLASSES["Response"]
InfoResponse: Final = _CLASSES["InfoResponse"]
InitChainResponse: Final = _CLASSES["InitChainResponse"]
QueryResponse: Final = _CLASSES["QueryResponse"]
CheckTxResponse: Final = _CLASSES["CheckTxResponse"]
CommitResponse: Final = _CLASSES["CommitResponse"]
ListSnapshotsResponse: Final = _CLASSES["ListSnapshotsResponse"]
OfferSnapshotResponse: Final = _CLASSES["OfferSnapshotResponse"]
LoadChunkResponse: Final = _CLASSES["LoadChunkResponse"]
ApplyChunkResponse: Final = _CLASSES["ApplyChunkResponse"]
PrepareResponse: Final = _CLASSES["PrepareResponse"]
ProcessResponse: Final = _CLASSES["ProcessResponse"]
FinalizeResponse: Final = _CLASSES["FinalizeResponse"]
Snapshot: Final = _CLASSES["Snapshot"]
TxResult: Final = _CLASSES["TxResult"]
ValidatorUpdate: Final = _CLASSES["ValidatorUpdate"]
Key: Final = _CLASSES["Key"]
