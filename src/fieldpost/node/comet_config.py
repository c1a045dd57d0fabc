# SPDX-License-Identifier: Apache-2.0
"""What a node must know of its CometBFT, where the board is run by several operators."""

from dataclasses import dataclass

from fieldpost.engines.cometbft.home import is_address, parse_peer
from fieldpost.engines.cometbft.rpc import parse_loopback
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.node.setting import WrongSetting, check_values, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class CometbftConfig:
    """One CometBFT, which the node starts itself. The embedded engine needs none of it."""

    program: str = setting(
        "cometbft", "its program: a path, or a name in PATH or where `go install` puts programs"
    )
    p2p_listen: str = setting("0.0.0.0:26656", "where it listens for other operators: HOST:PORT")
    p2p_address: str | None = setting(
        None, "what it tells others of where it is, if that is not where it listens: HOST:PORT"
    )
    rpc_listen: str = setting(
        "127.0.0.1:26657", "where it listens for this node, and for nobody else: HOST:PORT"
    )
    peers: tuple[str, ...] = setting(
        (), "the other operators' CometBFT: node id, @, HOST:PORT, as their public files say"
    )
    timeout_commit_ms: int = setting(
        1_000,
        "milliseconds that a block waits for late votes, the same at every operator",
        most=60_000,
    )

    state_sync: tuple[str, ...] = setting(
        (),
        "URLs of two or more other operators' nodes, which are believed together when a node "
        "without blocks begins with a snapshot; without them it begins with the first block",
    )
    snapshot_blocks: int = setting(
        500,
        "blocks between two snapshots for nodes that begin, the same at every operator",
        least=2,
        most=1_000_000,
    )

    def __post_init__(self) -> None:
        check_values(self, "cometbft.")
        if len(self.state_sync) == 1:
            raise WrongSetting("cometbft.state_sync", "names one node; name two or more, or none")
        for name in ("p2p_listen", "p2p_address"):
            address = getattr(self, name)
            if address is not None and not is_address(address):
                raise WrongSetting(
                    f"cometbft.{name}", f"{address!r} is no address; write HOST:PORT"
                )
        try:
            parse_loopback(self.rpc_listen)
        except Misconfigured as error:
            raise WrongSetting("cometbft.rpc_listen", str(error)) from error
        try:
            nodes = [parse_peer(peer)[0] for peer in self.peers]
        except Malformed as error:
            raise WrongSetting("cometbft.peers", str(error)) from error
        if len(set(nodes)) != len(nodes):
            raise WrongSetting("cometbft.peers", "names a node id twice; leave one away")
