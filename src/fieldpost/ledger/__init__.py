# SPDX-License-Identifier: Apache-2.0
"""The ledger: what a batch of posts makes of a state, decided by rules alone (docs/spec/rules.md).

Pure: same state, same posts, same time → same entries, writes and root, on every machine.
"""
