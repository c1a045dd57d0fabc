# SPDX-License-Identifier: Apache-2.0
"""The network as a client sees it: transport with limits, publishing, and a log that remembers."""
