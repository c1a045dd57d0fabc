# SPDX-License-Identifier: Apache-2.0
"""Numbers of a CometBFT that does not answer are unknown, and every other number is there."""

from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.comet_vitals import announce_cometbft
from tests.ports import free_port


def test_a_cometbft_that_is_away_has_no_numbers_and_hides_no_others() -> None:
    port = free_port()
    metrics = Metrics()
    metrics.gauge("other", "Other.", lambda: 1)
    close = announce_cometbft(metrics, f"127.0.0.1:{port}")
    text = metrics.render()
    assert "other 1\n" in text
    for name in ("height", "peers", "catching_up"):
        assert f"fieldpost_cometbft_{name} NaN\n" in text
    close()
