# SPDX-License-Identifier: Apache-2.0
"""What every test may lean on: outside vectors, and how hard property tests search.

`HYPOTHESIS_PROFILE=explore pytest tests/property` searches with fresh randomness and for longer.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fieldpost.testing.map_writers import LANGUAGES, map_written_in, writer_in_c

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples on every run and every machine: a red run can be repeated. No deadline, because
# how long one example takes says more about the machine than about the code.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Shells start what runs in the background deaf to SIGINT, and so would every program of a test be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """The folder of outside vectors beside the checkout; the test skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("outside vectors are absent: expected ../shared/vectors beside the checkout")
    return folder


@pytest.fixture(scope="module", params=LANGUAGES)
def each_map_writer(request: pytest.FixtureRequest) -> Iterator[None]:
    """The state map written in C, then in Python; skips where the one in C was not built."""
    if request.param == "c" and writer_in_c() is None:
        pytest.skip("the writer in C was not built: run  make setup  with a C compiler")
    with map_written_in(request.param):
        yield
