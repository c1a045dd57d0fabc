# SPDX-License-Identifier: Apache-2.0
"""Numbers that a running program shows its operator, and the private address that shows them."""
