# SPDX-License-Identifier: Apache-2.0
"""The network as a client sees it: transport with limits, several addresses, publishing, a log."""
