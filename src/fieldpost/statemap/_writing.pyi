# SPDX-License-Identifier: Apache-2.0
# What `_writing.c` offers where it was built: `writing.set_all_in_python`, which moreover raises
# ValueError for what is no tree, or no sorted leaves.

from collections.abc import Sequence

from fieldpost.statemap.writing import Node

def set_all(node: Node | None, leaves: Sequence[bytes], /) -> tuple[Node | None, int]: ...
