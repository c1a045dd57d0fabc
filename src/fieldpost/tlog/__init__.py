# SPDX-License-Identifier: Apache-2.0
"""The C2SP kernel: what devices, witnesses, monitors and operators share about the log. Pure."""
