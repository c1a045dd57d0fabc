# SPDX-License-Identifier: Apache-2.0
"""What the state map holds: its keys, signed records, and counters that rules write."""
