# SPDX-License-Identifier: Apache-2.0
"""The node: a board's public face over HTTP. Use cases in `service`, handlers in `api/`."""
