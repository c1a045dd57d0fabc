# SPDX-License-Identifier: Apache-2.0
"""The fleet service: what devices really run, from their own signed reports. Never on the board."""
