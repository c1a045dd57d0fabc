# SPDX-License-Identifier: Apache-2.0
"""No link may leave a class whose devices cannot verify enough root or release keys.

Asked for one class by `class.set`, and for all of a maker's classes when its keys change.
"""

from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.reading import Maker
from fieldpost.records.device_class import ClassRecord
from fieldpost.records.maker import Role


def check_algorithms(record: ClassRecord, maker: Maker) -> None:
    """Enough keys of the maker use an algorithm of the class. Raises Rejected(class-algorithms)."""
    admitted = record.limits.algorithms
    for role in (Role.ROOT, Role.RELEASE):
        keys = maker.record.keys_of(role)
        usable = sum(entry.key.algorithm in admitted for entry in keys.keys)
        if usable < keys.threshold:
            raise refusal(
                Code.CLASS_ALGORITHMS,
                f"class {record.name}: {usable} {role.name.lower()} keys use an algorithm of its "
                f"devices; {keys.threshold} must",
            )
