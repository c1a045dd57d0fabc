# SPDX-License-Identifier: Apache-2.0
"""A witness (C2SP tlog-witness): it cosigns what extends everything that it cosigned before."""
