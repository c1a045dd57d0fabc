# SPDX-License-Identifier: Apache-2.0
"""Libsodium, which may say yes to an Ed25519 signature, in processes that verify all day.

It takes half the time of OpenSSL. What it does not accept, OpenSSL judges as everywhere else, so
every operator keeps one verdict for every signature as long as a yes is never a wrong one:

- `keys.verify_signature` asks only about what passed its own checks of S and A;
- the releases known here compare the encoding of [S]B - [k]A with R, as OpenSSL does and
  docs/spec/keys.md demands, and refuse some more (R of low order) beforehand;
- a release that multiplies by the cofactor first, as other libraries do, would accept more. It is
  found out before it is asked, by two signatures which are valid only then.

Devices have no libsodium. A node without it verifies by OpenSSL alone.
"""

from typing import Final

from fieldpost.keys import Accepts

__all__ = ["Accepts", "agrees", "find_quick_yes"]

_KEY: Final = "88ba9fa4ab8363f7271ba2f23ef3e29bc8736e4cd16c6b1d7733413efa6ca8d5"
_MIXED_KEY: Final = "08f24be88f48c53ba106412c1829aca47cf5bf399a8ba5df970e083429e39b11"
_R: Final = "f584f4c9dcbce13ad4e97156b815b2db9313bdb9fe31842982901f20f356eb8d"
_MIXED_R: Final = "242e1c64cf166d6a5d406f006f13d17985ad07d9bfb74e10b6eeccbfd2421697"

# Key, message, R, S. Mixed order: a point of prime order and one of order 8, added.
VALID: Final = (
    (_KEY, b"valid 0", _R, "a17179b1e59c38990a57efb091aceade0d5dde132b05cfefd92e1c29d9aafc03"),
)
VALID_WITH_COFACTOR: Final = (
    (
        _KEY,
        b"R of mixed order 0",
        _MIXED_R,
        "8cc445fff1bd396850bfffd13cc1316d0e185d81299210aff01fcd703b643c03",
    ),
    (
        _MIXED_KEY,
        b"A of mixed order 0",
        _R,
        "cb6b76e6d4d53da6b0963e8e6b4bf7b29fbb3e72a2b953483686e58132313c09",
    ),
)


def find_quick_yes() -> Accepts | None:
    """What accepts quickly, or None: it is not installed, or its yes would not be ours."""
    try:
        from nacl.bindings import crypto_sign_open
        from nacl.exceptions import BadSignatureError
    except ImportError:
        return None

    def accepts(key: bytes, message: bytes, signature: bytes) -> bool:
        try:
            crypto_sign_open(signature + message, key)
        except BadSignatureError:
            return False
        return True

    return accepts if agrees(accepts) else None


def agrees(accepts: Accepts) -> bool:
    """Whether `accepts` takes what is valid, and not what is valid with the cofactor alone."""
    return all(accepts(*_check(*one)) for one in VALID) and not any(
        accepts(*_check(*one)) for one in VALID_WITH_COFACTOR
    )


def _check(key: str, message: bytes, r: str, s: str) -> tuple[bytes, bytes, bytes]:
    return bytes.fromhex(key), message, bytes.fromhex(r + s)
