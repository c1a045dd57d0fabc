# SPDX-License-Identifier: Apache-2.0
"""The replicated engine: CometBFT orders blocks of posts, out of process, over a Unix socket."""
