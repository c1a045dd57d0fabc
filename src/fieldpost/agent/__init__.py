# SPDX-License-Identifier: Apache-2.0
"""The device agent for Linux-class devices: checks in, verifies, installs, tries, reports."""
