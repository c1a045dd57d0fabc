# SPDX-License-Identifier: Apache-2.0
"""state.db as files: which version it is, and moving it out of the way so that it is built anew.

Everything in it follows from the log, so a file of a version that StateDb does not open is set
aside and rebuilt. What must survive that is one fact that the log cannot tell: a database that
knows more entries than the log says that the log lost its end.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, publish
from fieldpost.errors import Misconfigured

_COMPANIONS: Final = ("-wal", "-shm")


def state_db_version(path: Path) -> tuple[int, int] | None:
    """(version, size of the log that it describes) of the file; None if it is absent or empty.

    Raises Misconfigured, with what to do, for a file that cannot be read.
    """
    try:
        if not path.exists():
            return None
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            if version == 0:
                return None
            return version, int(db.execute("SELECT size FROM log").fetchone()[0])
    except (sqlite3.Error, OSError, TypeError, ValueError) as error:
        raise Misconfigured(
            f"{path} cannot be read ({error}): stop the node and run `fieldpost node rebuild`, "
            "which makes it anew from the log"
        ) from error


def set_aside(path: Path, *, disk: Disk = OS) -> Path:
    """Rename a database to NAME.aside, in the place of an older one there. Raises Unavailable."""
    aside = path.with_name(f"{path.name}.aside")
    # Its journal first: a database without it is refused or older, but a journal that stays
    # behind would be taken for that of the next file.
    for suffix in (*_COMPANIONS, ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            publish(source, aside.with_name(aside.name + suffix), disk=disk)
    return aside
