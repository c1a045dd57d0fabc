# SPDX-License-Identifier: Apache-2.0
"""How many of a set of keys signed a post, as devices count (docs/spec/check-in.md, chains).

Signatures of unknown keys are ignored: a link also carries the proofs of possession of keys that a
device has no business with. A bad signature of a known key refuses the post.
"""

from collections.abc import Collection, Iterable, Mapping

from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature
from fieldpost.posts.envelope import Post


def by_kid(keys: Iterable[PublicKey], algorithms: Collection[Algorithm]) -> dict[bytes, PublicKey]:
    """Keys by thumbprint; those of algorithms that the device does not verify are left out."""
    return {key.thumbprint(): key for key in keys if key.algorithm in algorithms}


def verify_signers(post: Post, keys: Mapping[bytes, PublicKey]) -> frozenset[bytes]:
    """The kids of those among `keys` that signed. Raises Untrusted("bad-signature")."""
    signers = set()
    for signature in post.signatures:
        key = keys.get(signature.kid)
        if key is None:
            continue
        if signature.algorithm is not key.algorithm:
            raise Untrusted("bad-signature", "a signature names another algorithm than its key's")
        verify_signature(key, post.signed_bytes(signature), signature.signature)
        signers.add(signature.kid)
    return frozenset(signers)


def check_threshold(
    signers: Collection[bytes], keys: Collection[bytes], needed: int, *, reason: str, what: str
) -> None:
    """At least `needed` of `keys` (kids) are among `signers`. Raises Untrusted(`reason`)."""
    count = len(set(keys) & set(signers))
    if count < needed:
        raise Untrusted(reason, f"{count} of {what} signed, not {needed}")
