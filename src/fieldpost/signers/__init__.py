# SPDX-License-Identifier: Apache-2.0
"""Holders of private keys: in memory, in files, in tokens. Each is a `fieldpost.keys.Signer`."""
