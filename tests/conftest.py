# SPDX-License-Identifier: Apache-2.0
"""What every test may lean on: where the vectors that nobody here wrote are kept."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """The folder of outside vectors beside the checkout; the test skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("outside vectors are absent: expected ../shared/vectors beside the checkout")
    return folder
