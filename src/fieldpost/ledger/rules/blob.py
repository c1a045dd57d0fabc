# SPDX-License-Identifier: Apache-2.0
"""Blobs: `blob.gone` (docs/spec/rules.md, blob).

Signed by one operator, about its own node alone: other sources may serve the blob, and devices
believe any of them by its digest. The entry that names the blob stays.
"""

from fieldpost.ledger.authority import check_operator, take_operator_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.quota import OPERATOR, charge
from fieldpost.ledger.reading import check_claims, read_board, read_payload
from fieldpost.posts import subjects
from fieldpost.posts.blob import decode_blob_gone
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys


def decide_blob_gone(read: Reader, post: Post, ctx: Context) -> Writes:
    """A blob that an operator no longer serves. Raises Rejected or Malformed."""
    gone = read_payload(post, decode_blob_gone)
    operator = check_operator(post, ctx, read_board(read))
    check_claims(post, issuer=operator.name, subject=subjects.of_blob(gone.digest))
    writes = take_operator_nonce(read, operator, gone.nonce)
    writes |= charge(read, ctx, operator.name, OPERATOR)
    key = map_keys.gone(operator.name, gone.digest)
    if read.value(key) is not None:
        raise refusal(Code.TAKEN, f"{operator.name} has said so of {gone.digest.hex()}")
    return writes | {key: post.statement.payload}
