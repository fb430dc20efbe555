"""What `openapi.json` says beside what FastAPI finds: bodies that routes read themselves, errors.

Every error of every route is a problem document (RFC 9457), whatever its status; a route that says
its own `default` has that in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

_REFS: Final = "#/components/schemas/{model}"
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_ERROR: Final = {
    "description": "It was not done; `type` is stable and says why",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_METHODS: Final = frozenset({"get", "post", "put", "delete", "head", "patch"})


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Say which body a route reads by itself, as its `openapi_extra`."""
    schema = model.model_json_schema(ref_template=_REFS)
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Put definitions where references look for them, and errors as they really are."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for methods in document["paths"].values():
        for method in methods.keys() & _METHODS:
            operation = methods[method]
            operation["responses"].pop("422", None)
            operation["responses"].setdefault("default", _ERROR)
            for told in operation.get("requestBody", {}).get("content", {}).values():
                schemas |= told["schema"].pop("$defs", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
