# SPDX-License-Identifier: Apache-2.0
"""Bytes on one node's disk: the log as static files, the state database, blobs."""
