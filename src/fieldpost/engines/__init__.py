# SPDX-License-Identifier: Apache-2.0
"""Engines order posts into batches and make them durable; a rule never sees which one."""
