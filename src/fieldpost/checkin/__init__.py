# SPDX-License-Identifier: Apache-2.0
"""The check-in: what a device believes, and why (docs/spec/check-in.md). Pure.

`verify.verify_bundle` is the one verifier of devices, monitors and tools; it runs the steps of the
spec in their order and returns a new `belief.Belief`, or raises and changes nothing.
"""
