# SPDX-License-Identifier: Apache-2.0
"""Release manifests: SUIT (draft-ietf-suit-manifest-37), restricted profile 1. Pure.

There is no interpreter of command sequences: a manifest has exactly the shape that `manifest`
writes, or it is refused.
"""
