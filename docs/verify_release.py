#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Check a release with nothing of ours: Python's standard library, and OpenSSL for Ed25519.

    python3 verify_release.py URL LOG_VKEY MAKER_ID IMAGE

Checkpoint, tree, the maker's keys from its registration on, the release's post, its manifest, its
image: the first step that does not hold ends the program. docs/spec/ describes the formats.
"""

import base64
import hashlib
import subprocess
import sys
import tempfile
import urllib.request

ED25519_DER = bytes.fromhex("302a300506032b6570032100")


def sha(data):
    return hashlib.sha256(data).digest()


def fetch(path):
    return urllib.request.urlopen(URL + path, timeout=30).read()


def check(is_so, what):
    if not is_so:
        sys.exit(f"NOT SO: {what}")


def verify(key, message, signature):
    """Whether OpenSSL takes an Ed25519 signature."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{name}" for name in ("key", "message", "signature")]
        for name, data in zip(names, (ED25519_DER + key, message, signature)):
            with open(name, "wb") as file:
                file.write(data)
        words = "openssl pkeyutl -verify -pubin -keyform DER -inkey {} -rawin -in {} -sigfile {}"
        return subprocess.run(words.format(*names).split(), capture_output=True).returncode == 0


def read(data, at=0):
    """One CBOR item: its value and where it ends. A tag becomes (number, value)."""
    kind, length = data[at] >> 5, data[at] & 31
    at += 1
    if length >= 24:
        size = 1 << (length - 24)
        length, at = int.from_bytes(data[at : at + size], "big"), at + size
    if kind in (0, 1):
        return (length if kind == 0 else -1 - length), at
    if kind in (2, 3):
        piece = data[at : at + length]
        return (piece if kind == 2 else piece.decode()), at + length
    if kind in (4, 5):
        items = []
        for _ in range(length * (kind - 3)):
            item, at = read(data, at)
            items.append(item)
        return (items if kind == 4 else dict(zip(items[::2], items[1::2]))), at
    if kind == 6:
        value, at = read(data, at)
        return (length, value), at
    return {20: False, 21: True, 22: None}[length], at


def write(value):
    """The CBOR of numbers, bytes, texts, lists, and maps in the order that they have."""
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, (bytes, str)):
        data = value if isinstance(value, bytes) else value.encode()
        return head(2 if isinstance(value, bytes) else 3, len(data)) + data
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(write(k) + write(v) for k, v in value.items())
    return head(4, len(value)) + b"".join(map(write, value))


def head(kind, n):
    if n < 24:
        return bytes([kind << 5 | n])
    power = next(power for power in range(4) if n < 256 ** (1 << power))
    return bytes([kind << 5 | 24 + power]) + n.to_bytes(1 << power, "big")


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\1" + root(hashes[:k]) + root(hashes[k:]))


def signers(post, keys):
    """The kids among `keys` whose signature under a post holds (COSE_Sign1 and COSE_Sign)."""
    tag, (body, _, payload, rest) = post
    found = set()
    for own, signature in [(body, rest)] if tag == 18 else [(own, s) for own, _, s in rest]:
        kid = read(own)[0][4]
        start = ["Signature1", body] if tag == 18 else ["Signature", body, own]
        if kid in keys and verify(keys[kid], write([*start, b"", payload]), signature):
            found.add(kid)
    return found


def key_set(value):
    """The threshold of a role, and its Ed25519 keys by kid."""
    keys = [entry[1] for entry in value[2]]
    return value[1], {sha(write(key)): key[-2] for key in keys if key.get(-1) == 6}


def is_signed(post, role):
    return len(signers(post, role[1])) >= role[0]


URL, vkey, maker, image = sys.argv[1:]

# 1. The checkpoint, signed by the log key that somebody told you.
text, lines = fetch("/log/checkpoint").decode().split("\n\n")
name, key_id, key = vkey.split("+", 2)
signatures = [base64.b64decode(line.split(" ")[2]) for line in lines.splitlines()]
mine = [s[4:] for s in signatures if s[:4].hex() == key_id]
good = any(verify(base64.b64decode(key)[1:], f"{text}\n".encode(), s) for s in mine)
check(good, "the log key signed the checkpoint")
origin, size, stated = text.split("\n")
size = int(size)

# 2. The entries, which make its root.
entries = []
for number in range(-(-size // 256)):
    path = "/log/tile/entries/" + (f"x{number // 1000:03}/" if number > 999 else "")
    partial = f".p/{size % 256}" if (number + 1) * 256 > size else ""
    data = fetch(f"{path}{number % 1000:03}{partial}")
    while data:
        length = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
tree = root([sha(b"\0" + entry) for entry in entries])
check(len(entries) == size and tree == base64.b64decode(stated), "the entries make the root")

# 3. The maker's keys: the id is made of its first roots, every later record is signed by old and
#    new ones; and its posts about releases.
roots = releases = None
published = {}
for entry in entries:
    post = read(entry)[0]
    if not isinstance(post, tuple):
        continue  # a state leaf
    protected, record = read(post[1][0])[0], read(post[1][2])[0]
    kind = protected[3].removeprefix("application/vnd.fieldpost.").removesuffix("+cbor")
    if protected[15][1] != maker:
        continue
    if kind in ("maker.register", "maker.set"):
        new = key_set(record[4])
        if roots is None:
            keys = sorted((key[1] for key in record[4][2]), key=lambda key: sha(write(key)))
            first = sha(write(["fieldpost/maker", keys, record[4][1]]))[:16].hex()
            check(first == maker, "the maker id is made of these root keys")
        check(roots is None or is_signed(post, roots), f"the old roots signed {kind}")
        check(is_signed(post, new), f"the new roots signed {kind}")
        roots, releases = new, key_set(record[5][2])
    if kind == "release.publish":
        check(is_signed(post, releases), "the release keys signed the post")
        published[record[5]] = f"release {record[3]} ({record[4]})"

# 4. The manifest that names the image, and who signed it. Keys of now: older ones count no more.
image = b"\x58\x20" + sha(open(image, "rb").read())
for digest, release in published.items():
    envelope = read(fetch(f"/v1/manifests/{digest.hex()}"))[0][1]
    check(sha(write(envelope[3])) == digest, "the manifest has the digest that was posted")
    if image not in envelope[3]:
        continue
    about, *blocks = read(envelope[2])[0]
    check(read(about)[0][1] == digest, "the signatures are about this manifest")
    good = set()
    for protected, _, _, signature in (read(block)[0][1] for block in blocks):
        kid = read(protected)[0][4]
        message = write(["Signature1", protected, b"", about])
        if kid in releases[1] and verify(releases[1][kid], message, signature):
            good.add(kid)
    check(len(good) >= releases[0], "the release keys signed the manifest")
    print(f"{release} of {origin}: everything holds")
    sys.exit()
check(False, "a published manifest names this image")
