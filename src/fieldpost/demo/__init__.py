# SPDX-License-Identifier: Apache-2.0
"""The demonstration: the whole line with real firmware in real processes, and attacks on it."""
