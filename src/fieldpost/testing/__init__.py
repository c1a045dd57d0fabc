# SPDX-License-Identifier: Apache-2.0
"""Public fakes: what tests of this package, and of programs built on it, stand on.

Nothing in here is for production: keys come from seeds that anybody can read, and this is the
only room in which a defence can be switched off.
"""
