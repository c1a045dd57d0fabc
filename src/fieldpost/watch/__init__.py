# SPDX-License-Identifier: Apache-2.0
"""Others who watch a board: witness, mirror, monitor, and the check of a whole log."""
