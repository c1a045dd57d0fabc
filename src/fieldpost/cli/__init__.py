# SPDX-License-Identifier: Apache-2.0
"""The command line: one file per noun, imported only when its noun is called."""
