"""The four digits by which a referral is answered by SMS: short enough to be read out and typed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uuid import UUID

_CODES: Final = 10_000


def answer_code(referral_id: UUID) -> str:
    """Return the code of a referral, `0000` to `9999`; others may have the same one by chance.

    It proves nothing: an answer counts by the number that it comes from.
    """
    digest = hashlib.sha256(b"pashe answer code" + referral_id.bytes).digest()
    return f"{int.from_bytes(digest[:8], 'big') % _CODES:04d}"
