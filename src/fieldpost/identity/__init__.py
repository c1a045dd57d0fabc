# SPDX-License-Identifier: Apache-2.0
"""Who a device is, which lot it belongs to, what its status is, and what it reports. Pure."""
