# SPDX-License-Identifier: Apache-2.0
"""Keys in a real PKCS#11 module (SoftHSM): what they sign, and what happens when the token is gone.

The module is loaded once for a process, so the tokens of these tests share one folder.
"""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.errors import FieldpostError, Misconfigured, Unavailable
from fieldpost.keys import Algorithm, Signer, verify_signature
from fieldpost.signers.keyfile import load_key_file, save_key_reference
from fieldpost.signers.software import SoftwareSigner
from fieldpost.signers.tokens import KeyMaker, open_token_key
from tests.softhsm import MODULE, PIN, Tokens, make_tokens

pkcs11 = pytest.importorskip("pkcs11")
HALF_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    made = make_tokens(tmp_path_factory.mktemp("softhsm") / "hsm")
    made.add("board")
    made.add("other")
    with pytest.MonkeyPatch.context() as environment:
        for name, value in made.environment.items():
            environment.setenv(name, value)
        yield made


def reinitialize() -> None:
    """What a module does when its token was pulled: every session and login is void."""
    pkcs11.lib(str(MODULE)).reinitialize()


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ESP256])
def test_a_key_that_was_made_on_the_token_signs_what_everybody_verifies(
    tokens: Tokens, algorithm: Algorithm
) -> None:
    uri = KeyMaker.on(tokens.uri("board")).make(algorithm, f"signs {algorithm.name}")
    signer = open_token_key(uri)
    assert signer.public_key.algorithm is algorithm
    for number in range(20):
        message = b"message %d" % number
        signature = signer.sign(message)
        verify_signature(signer.public_key, message, signature)
        if algorithm is Algorithm.ESP256:
            assert int.from_bytes(signature[32:]) <= HALF_N
    assert open_token_key(uri).public_key == signer.public_key


def test_the_token_itself_gives_high_s_half_the_time(tokens: Tokens) -> None:
    """The control: without our rule some signatures of the same key would be refused."""
    uri = KeyMaker.on(tokens.uri("board")).make(Algorithm.ESP256, "high")
    open_token_key(uri)
    token = pkcs11.lib(str(MODULE)).get_token(token_label="board")
    with token.open() as session:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label="high")
        signatures = [key.sign(bytes(32), mechanism=pkcs11.Mechanism.ECDSA) for _ in range(40)]
    assert any(int.from_bytes(signature[32:]) > HALF_N for signature in signatures)


def test_a_key_made_here_can_not_be_read_out(tokens: Tokens) -> None:
    KeyMaker.on(tokens.uri("board")).make(Algorithm.ED25519, "stays")
    token = pkcs11.lib(str(MODULE)).get_token(token_label="board")
    with token.open() as session:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label="stays")
        assert key[pkcs11.Attribute.SENSITIVE]
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]


def test_a_key_file_may_name_a_key_in_a_token(tokens: Tokens, tmp_path: Path) -> None:
    uri = KeyMaker.on(tokens.uri("board")).make(Algorithm.ED25519, "by file")
    save_key_reference(tmp_path / "key.pem", uri)
    signer = load_key_file(tmp_path / "key.pem", lambda: b"never asked for")
    assert signer.public_key == open_token_key(uri).public_key
    assert PIN not in repr(signer) + (tmp_path / "key.pem").read_text()


def test_after_the_token_was_away_for_a_moment_the_signer_goes_on(tokens: Tokens) -> None:
    first, second = (
        open_token_key(KeyMaker.on(tokens.uri(name)).make(Algorithm.ED25519, "goes on"))
        for name in ("board", "other")
    )
    reinitialize()
    for signer in (first, second, first):
        verify_signature(signer.public_key, b"again", signer.sign(b"again"))


def test_while_the_token_is_gone_nothing_is_signed_and_it_says_so(tokens: Tokens) -> None:
    signer = open_token_key(KeyMaker.on(tokens.uri("board")).make(Algorithm.ED25519, "pulled"))
    drawer = tokens.folder / "drawer"
    shutil.move(tokens.folder / "tokens", drawer)
    (tokens.folder / "tokens").mkdir()
    try:
        reinitialize()
        with pytest.raises(Unavailable, match=r"no token board .*connect it"):
            signer.sign(b"nobody hears this")
    finally:
        shutil.rmtree(tokens.folder / "tokens")
        shutil.move(drawer, tokens.folder / "tokens")
    verify_signature(signer.public_key, b"back", signer.sign(b"back"))


def test_another_key_under_the_same_name_is_not_taken_for_the_first(tokens: Tokens) -> None:
    maker = KeyMaker.on(tokens.uri("other"))
    maker.make(Algorithm.ED25519, "swapped")
    signer = open_token_key(tokens.uri("other", key=";object=swapped"))
    with pkcs11.lib(str(MODULE)).get_token(token_label="other").open(rw=True) as session:
        for found in list(session.get_objects({pkcs11.Attribute.LABEL: "swapped"})):
            found.destroy()
    maker.make(Algorithm.ED25519, "swapped")
    with pytest.raises(Misconfigured, match="has another key swapped than before"):
        signer.sign(b"with whose key?")


def test_a_wrong_pin_is_tried_once_in_a_process_however_often_it_is_asked_for(
    tokens: Tokens, tmp_path: Path
) -> None:
    """Tokens lock themselves after a few; a node asks every second."""
    tokens.add("strict")
    pin = tmp_path / "pin"
    pin.write_text("wrong-8281")
    pin.chmod(0o600)
    uri = f"pkcs11:token=strict;object=x?module-path={MODULE}&pin-source={pin}"
    reinitialize()
    for _ in range(5):
        with pytest.raises(Misconfigured, match="refuses the PIN") as caught:
            open_token_key(uri)
        assert "8281" not in str(caught.value)
    token = pkcs11.lib(str(MODULE)).get_token(token_label="strict")
    token.open(user_pin=PIN).close()
    assert not token.flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY


@pytest.mark.parametrize(
    ("uri", "family", "says"),
    [
        ("{board};object=none?{query}", Misconfigured, "no private key none; .pkcs11-tool"),
        ("{board}?{query}", Misconfigured, "name a key of it"),
        ("pkcs11:token=nowhere;object=x?{query}", Unavailable, "no token nowhere"),
        ("pkcs11:object=x?{query}", Misconfigured, "several tokens .* serial="),
        ("{board};object=x?module-path=/no/module.so", Misconfigured, "no PKCS#11 module /no"),
        ("{board};object=x?module-path=/etc/passwd", Misconfigured, "cannot load the PKCS#11"),
        ("{board};object=x", Misconfigured, "which PKCS#11 module"),
    ],
)
def test_what_is_not_there_is_said_with_what_to_do(
    tokens: Tokens, uri: str, family: type[FieldpostError], says: str
) -> None:
    query = f"module-path={MODULE}&pin-source=file:{tokens.pin_file}"
    with pytest.raises(family, match=says):
        open_token_key(uri.format(board="pkcs11:token=board", query=query))


def test_two_keys_of_one_name_are_told_apart_by_id(tokens: Tokens) -> None:
    maker = KeyMaker.on(tokens.uri("board"))
    uris = [maker.make(Algorithm.ED25519, "twin") for _ in range(2)]
    assert len({open_token_key(uri).public_key for uri in uris}) == 2
    with pytest.raises(Misconfigured, match="has 2 keys twin: say which, id="):
        open_token_key(tokens.uri("board", key=";object=twin"))


def test_many_threads_sign_with_keys_of_one_token(tokens: Tokens) -> None:
    signers = [
        open_token_key(KeyMaker.on(tokens.uri("board")).make(algorithm, "threads"))
        for algorithm in (Algorithm.ED25519, Algorithm.ESP256)
    ]
    failed: list[BaseException] = []

    def work(signer: Signer, name: bytes) -> None:
        try:
            for number in range(25):
                message = name + b"%d" % number
                verify_signature(signer.public_key, message, signer.sign(message))
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(signers[n % 2], b"%d" % n)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


def test_a_token_that_gives_false_signatures_is_found_out(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fieldpost.signers import pkcs11 as room

    uri = KeyMaker.on(tokens.uri("board")).make(Algorithm.ESP256, "faulty")
    signer = open_token_key(uri)
    monkeypatch.setattr(room, "low_s", lambda signature: bytes(64))
    with pytest.raises(Unavailable, match="a signature that is none"):
        signer.sign(b"a fault in the token")


def test_tokens_have_no_post_quantum_keys_here(tokens: Tokens) -> None:
    with pytest.raises(Misconfigured, match="ed25519 or p256"):
        KeyMaker.on(tokens.uri("board")).make(Algorithm.ML_DSA_44, "quantum")
    with pytest.raises(Misconfigured, match="name the token alone"):
        KeyMaker.on(tokens.uri("board", key=";object=x"))


def test_a_key_file_with_a_key_imports_nothing_of_tokens(tmp_path: Path) -> None:
    """What a device without a secure element carries (in a process of its own: see below)."""
    import subprocess
    import sys

    from fieldpost.signers.keyfile import save_key_file

    save_key_file(tmp_path / "key", SoftwareSigner.generate(Algorithm.ED25519), None)
    script = (
        "import sys; from pathlib import Path\n"
        "from fieldpost.agent.enrolment import load_device_key\n"
        f"load_device_key(Path({str(tmp_path / 'key')!r}))\n"
        "print(*[name for name in sys.modules if 'pkcs11' in name or 'token' in name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "fieldpost.signers.tokens" not in done.stdout.split()
    assert "pkcs11" not in done.stdout.split()
