# SPDX-License-Identifier: Apache-2.0
"""One file of vectors each: what it covers, made from fixed seeds."""
