# SPDX-License-Identifier: Apache-2.0
"""Handlers, one file per noun: they translate between HTTP and use cases, and decide nothing."""
