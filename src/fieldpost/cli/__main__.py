# SPDX-License-Identifier: Apache-2.0
"""`python -m fieldpost.cli`: the same as `fieldpost`, for programs that start it."""

from fieldpost.cli.main import main

main()
