"""What a page answers as a whole when the interface that it asked said no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.errors import Forbidden, NotFound, StepUpNeeded, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from shared.inside import Refused

_MEMBERS: Final = ("needs", "max_age", "sign_in")


def pass_on(refused: Refused) -> None:
    """Raise what is no matter of one form: signing in, nothing here, not now.

    Any other refusal is told on the page that the form stands on.

    Raises:
        Unauthenticated, StepUpNeeded, NotFound, Forbidden, Unavailable: as the interface said.

    """
    members = {k: v for k, v in refused.problem.items() if k in _MEMBERS}
    match refused.status:
        case 401 if refused.slug == "step-up-needed":
            raise StepUpNeeded(None, **members)
        case 401:
            raise Unauthenticated
        case 404:
            raise NotFound
        case 403 if not refused.problem.get("detail"):
            raise Forbidden
        case 503:
            raise Unavailable
