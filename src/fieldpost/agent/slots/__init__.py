# SPDX-License-Identifier: Apache-2.0
"""Where images live and boot: the port, and two directories with an atomic link."""
