# SPDX-License-Identifier: Apache-2.0
"""A member of a board that lies: a process with the real keys of one operator, or of several.

    python -m fieldpost.testing.liar --lie two-heads --keys /srv/op3 --node http://127.0.0.1:8470
    python -m fieldpost.testing.liar --help            every lie, and what it is

It stands in front of a real node (`--node`), answers what the lie is about, and passes everything
else on. `--keys` is a data folder, repeated for members that lie together. It prints JSON lines:
one when it serves, one for each path when it is first asked for, and one for what a witness said of
its head (`--witness`).
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from urllib.parse import parse_qs, urlsplit

from fieldpost import cbor
from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_checkpoint
from fieldpost.errors import FieldpostError, NotFound
from fieldpost.ledger.reading import read_board
from fieldpost.node.mirrors import open_mirror
from fieldpost.records import map_keys
from fieldpost.store.log_files import read_file
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.liar_histories import History, read_history
from fieldpost.testing.liar_lies import LIES, Manner, Shown
from fieldpost.testing.liar_members import Members, cosignatures_of
from fieldpost.testing.relay import Relay
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.note import MAX_NOTE_BYTES
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.witness import OtherSize

_PIECES = {Manner.ENDLESS: b"x" * 65_536, Manner.DRIPPING: b"x", Manner.SILENT: b""}
_PAUSES_S = {Manner.ENDLESS: 0.0, Manner.DRIPPING: 1.0, Manner.SILENT: 3_600.0}


class Liar:
    """Answers GETs as a lie wants it. `folder` holds the log that it shows."""

    def __init__(self, shown: Shown, members: Members | None, folder: Path) -> None:
        self._shown = shown
        self._members = members
        self._folder = folder
        self.stopping = threading.Event()
        self._asked: set[str] = set()
        if shown.history is not None:
            open_log(folder).append(shown.history.entries)

    def answer(self, path: str) -> bytes | Iterator[bytes] | None:
        """What is said instead of the node's answer; None for that one. Raises NotFound."""
        url = urlsplit(path)
        if url.path not in self._asked:
            self._asked.add(url.path)
            _say(event="asked", path=url.path)
        if self._shown.manner is not Manner.WHOLE:
            return self._pieces()
        if self._shown.lacks_log and url.path.startswith("/log/tile/"):
            raise NotFound("the log's files are not shown")
        digest = url.path.rpartition("/")[2]
        if digest in self._shown.files:
            return self._shown.files[digest]
        if self._shown.history is None:
            return None
        return self._of(self._shown.history, url.path, url.query)

    def _of(self, history: History, path: str, query: str) -> bytes | None:
        match path.strip("/").split("/"):
            case ["log", "checkpoint"]:
                return self.note()
            case ["log", *place]:
                return read_file(self._folder.joinpath(*place))
            case ["v1", "cosignatures", size] if int(size) == len(history.entries):
                return self.note()
            case ["v1", "checkin", class_id, channel]:
                key = map_keys.head(bytes.fromhex(class_id), channel)
                return history.bundle(key, self._cosignatures())
            case ["v1", "proof", key_hex]:
                return history.bundle(bytes.fromhex(key_hex), self._cosignatures())
            case ["v1", "board"] if "since" in query:
                return cbor.encode(history.board_links()[_since(query) + 1 :])
            case ["v1", "makers", maker, "links"]:
                return cbor.encode(history.maker_links(maker)[_since(query) + 1 :])
            case _:
                return None

    def _cosignatures(self) -> tuple[Cosignature, ...]:
        shown = self._shown
        if shown.note is not None:
            return cosignatures_of(shown.note)
        assert shown.history is not None
        assert self._members is not None
        now = int(time.time())  # noqa: TID251 - a process of its own: whoever asks has this clock
        invented = self._members.invent(at=now) if shown.invents else ()
        return self._members.cosign(shown.history.head, at=now) + invented

    def note(self) -> bytes:
        """The checkpoint that is shown, of a history of the liar's own."""
        shown = self._shown
        if shown.note is not None:
            return shown.note
        assert shown.history is not None
        assert self._members is not None
        return self._members.note(shown.history.head, self._cosignatures())

    def _pieces(self) -> Iterator[bytes]:
        """A body that never ends, until the liar does."""
        while not self.stopping.wait(_PAUSES_S[self._shown.manner]):
            yield _PIECES[self._shown.manner]

    def ask_witness(self, url: str) -> str:
        """Have a witness cosign what is shown; what it said."""
        history = self._shown.history
        if history is None:
            return "not asked"
        size = len(history.entries)
        with HttpClient(url) as http:
            old = 0
            for _ in range(2):
                path = () if old in (0, size) else _proof(history, old)
                try:
                    add_checkpoint(
                        http,
                        old_size=old,
                        proof=path,
                        note=self.note(),
                        state=history.state_proof(),
                    )
                except OtherSize as error:
                    if error.size > size:
                        return f"refused: it cosigned {error.size} already"
                    old = error.size
                except FieldpostError as error:
                    return f"refused: {error}"
                else:
                    return "cosigned"
        return "refused: its size moves"


def _proof(history: History, old: int) -> tuple[bytes, ...]:
    return tuple(prove_consistency(history.tree(), old_size=old, size=len(history.entries)))


def _since(query: str) -> int:
    return int(parse_qs(query).get("since", ["-1"])[0])


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    lies = "\n".join(f"  {name:14} {lie.meaning}" for name, lie in LIES.items())
    parser = argparse.ArgumentParser(
        prog="python -m fieldpost.testing.liar",
        description="A member of a board that lies, for tests of who notices. Lies:\n" + lies,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lie", required=True, choices=LIES, metavar="NAME")
    parser.add_argument("--node", required=True, metavar="URL", help="the honest node behind it")
    parser.add_argument(
        "--keys",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="data folder of an operator that lies; repeated for several together",
    )
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--witness", metavar="URL", help="have this witness cosign the head")
    return parser.parse_args(words)


def main() -> None:
    """Serve until SIGTERM."""
    try:
        _lie(_arguments(sys.argv[1:]))
    except (FieldpostError, ValueError) as error:
        raise SystemExit(f"liar: {error}") from error


def _lie(arguments: argparse.Namespace) -> None:
    source = open_mirror(arguments.node)
    true = read_history(source)
    note = source.read("checkpoint", MAX_NOTE_BYTES)
    record = read_board(true.state.map)
    members = Members.load(arguments.keys, record) if arguments.keys else None
    shown = LIES[arguments.lie].build(true, note, len(arguments.keys))
    if members is None and shown.history is not None and shown.note is None:
        raise SystemExit(f"{arguments.lie} is signed: name whose keys lie with --keys DIR")
    host, _, port = arguments.listen.rpartition(":")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with tempfile.TemporaryDirectory() as folder:
        liar = Liar(shown, members, Path(folder))
        relay = Relay(arguments.node, host=host, port=int(port))
        relay.instead = liar.answer
        with relay:
            size = len((shown.history or true).entries)
            _say(event="ready", url=relay.url, lie=arguments.lie, size=size)
            if arguments.witness:
                _say(event="witness", said=liar.ask_witness(arguments.witness))
            ended.wait()
            liar.stopping.set()


def _say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
