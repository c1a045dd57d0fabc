# SPDX-License-Identifier: Apache-2.0
"""Fieldpost: the public bulletin board of signed software releases for devices in the field."""

__version__ = "0.1.0"
