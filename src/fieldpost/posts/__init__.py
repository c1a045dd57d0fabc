# SPDX-License-Identifier: Apache-2.0
"""Posts: the COSE envelope, and the payload of every kind."""
