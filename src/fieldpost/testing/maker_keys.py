# SPDX-License-Identifier: Apache-2.0
"""A maker's signers by name, in the two roles that devices count: root and release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fieldpost.keys import Algorithm, Signer
from fieldpost.records.maker import KeySet, Role, RoleKey
from fieldpost.suit.envelope import Envelope, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner


def key_set(signers: Sequence[Signer], threshold: int) -> KeySet:
    """The keys of `signers` as a record has them, without scopes."""
    return KeySet(threshold, tuple(RoleKey(signer.public_key) for signer in signers))


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerKeys:
    """A maker's signers in the two roles that devices count. Root is 2 of 3, release 1 of 1."""

    name: str = "acme"
    algorithm: Algorithm = Algorithm.ED25519
    root_threshold: int = 2
    roots: int = 3
    release_threshold: int = 1
    releases: int = 1

    @property
    def root(self) -> tuple[Signer, ...]:
        """All root signers."""
        return self._signers("root", self.roots)

    @property
    def release(self) -> tuple[Signer, ...]:
        """All release signers."""
        return self._signers("release", self.releases)

    def _signers(self, role: str, count: int) -> tuple[Signer, ...]:
        return tuple(
            DeterministicSigner(self.algorithm, f"{self.name}/{role}/{n}") for n in range(count)
        )

    def sets(self) -> dict[str, Any]:
        """Root and roles, as fields of a maker record."""
        return {
            "root": key_set(self.root, self.root_threshold),
            "roles": {Role.RELEASE: key_set(self.release, self.release_threshold)},
        }

    def sign_release(
        self,
        sequence: int,
        *,
        vendor: bytes,
        class_id: bytes,
        image: bytes = b"image",
        more: Mapping[str, bytes] | None = None,
        signers: Sequence[Signer] | None = None,
    ) -> Envelope:
        """The envelope of one image, and of `more` by name, signed by the release threshold."""
        components = tuple(
            Component((name.encode(),), sha256(data).digest(), len(data))
            for name, data in {"image": image, **(more or {})}.items()
        )
        manifest = encode_manifest(Manifest(sequence, vendor, class_id, components))
        by = self.release[: self.release_threshold] if signers is None else signers
        return Envelope(manifest, tuple(sign_manifest(manifest, signer) for signer in by))
