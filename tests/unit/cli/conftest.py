# SPDX-License-Identifier: Apache-2.0
"""The world of the command line's tests."""

from tests.unit.cli.cli_world import world

__all__ = ["world"]
