# SPDX-License-Identifier: Apache-2.0
"""The monitor: watches a board for makers, and alarms people about what they did not expect."""
