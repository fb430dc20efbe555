"""What OpenRosa answers: its headers, its list of forms, and its messages, also for what is wrong.

Source: OpenRosa 1.0 (form discovery and submission). Collect shows the text of a message.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from starlette.responses import Response

if TYPE_CHECKING:
    from services.intake.channels.openrosa.form import Form
    from shared.errors import Problem

XML: Final = "text/xml; charset=utf-8"
"""Collect refuses `application/xml` for a list of forms."""

DEFAULT: Final[dict[str, Any]] = {
    "description": "It was not done; the message says why (OpenRosaResponse)",
    "content": {"text/xml": {}, "application/problem+json": {}},
}
"""How OpenAPI tells of errors here: before an app's request comes to its channel they are JSON."""

_LIST: Final = "http://openrosa.org/xforms/xformsList"
_RESPONSE: Final = "http://openrosa.org/http/response"

HEADERS: Final = {"X-OpenRosa-Version": "1.0", "Cache-Control": "no-store"}


def answer(content: bytes, status: int = 200, **headers: str) -> Response:
    """Answer XML."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, status, HEADERS | named, media_type=XML)


def message(text: str, status: int, nature: str = "submit_success", **headers: str) -> Response:
    """Answer an OpenRosaResponse with one message; Collect shows it when the status is an error."""
    root = ET.Element("OpenRosaResponse", xmlns=_RESPONSE)
    ET.SubElement(root, "message", nature=nature).text = text
    return answer(_bytes(root), status, **headers)


def refusal(problem: Problem) -> Response:
    """Answer a problem; its text is ours and holds nothing that was sent."""
    text = problem.title if problem.detail is None else f"{problem.title}: {problem.detail}"
    response = message(text, problem.status, "error")
    if (pause := getattr(problem, "retry_after", None)) is not None:
        response.headers["Retry-After"] = str(pause)
    return response


def unproven(challenges: list[str]) -> Response:
    """Ask who it is."""
    response = message("Sign in", HTTPStatus.UNAUTHORIZED, "error")
    for challenge in challenges:
        response.headers.append("WWW-Authenticate", challenge)
    return response


def form_list(form: Form | None, base: str, *, verbose: bool) -> Response:
    """Answer the list of forms: this one, or none."""
    root = ET.Element("xforms", xmlns=_LIST)
    if form is not None:
        told = {
            "formID": form.form_id,
            "name": form.title,
            "version": form.version,
            "hash": form.hash,
            **({"descriptionText": form.title} if verbose else {}),
            "downloadUrl": f"{base}/forms/{form.form_id}.xml",
        }
        one = ET.SubElement(root, "xform")
        for name, value in told.items():
            ET.SubElement(one, name).text = value
    return answer(_bytes(root))


def _bytes(root: ET.Element) -> bytes:
    made: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return made
