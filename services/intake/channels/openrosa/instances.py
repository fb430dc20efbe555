"""A filled form as OpenRosa sends it: XML from a stranger's phone, read within bounds.

No document type, so no entity; so many bytes, elements and levels, and no more. Source: OpenRosa's
metadata schema (`meta` in no namespace or in its own: local names are what counts). An encrypted
form of ODK reads as one that we do not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

MOST_BYTES: Final = 1_000_000
MOST_ELEMENTS: Final = 5_000
MOST_LEVELS: Final = 32
LONGEST_ID: Final = 249


class UnreadableInstanceError(ValueError):
    """The XML is no filled form. The text says why and holds nothing of the form's words."""


@dataclass(slots=True)
class Element:
    """One element: its local name, attributes by local name, text and children."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def first(self, *path: str) -> Element | None:
        """Give the first element by local names from here down, or none."""
        found = self
        for name in path:
            below = next((child for child in found.children if child.name == name), None)
            if below is None:
                return None
            found = below
        return found

    def said(self, *path: str) -> str:
        """Give the text there without its outer white space; nothing there is an empty text."""
        found = self.first(*path)
        return found.text.strip() if found else ""


@dataclass(frozen=True, slots=True)
class Instance:
    """A filled form: which form, which version, its own id, the one it edits, and its answers."""

    form_id: str
    version: str
    instance_id: str
    deprecated_id: str
    root: Element = field(repr=False)


def read_instance(raw: bytes) -> Instance:
    """Read a filled form.

    Raises:
        UnreadableInstanceError: not XML, past a bound, or without the id of its form or its own.
    """
    root = _parse(raw)
    form_id, version = root.attributes.get("id", ""), root.attributes.get("version", "")
    own, edited = _meta(root, "instanceID"), _meta(root, "deprecatedID")
    if not form_id or not own:
        message = "the form's id or its instanceID is missing"
        raise UnreadableInstanceError(message)
    if max(map(len, (form_id, version, own, edited))) > LONGEST_ID:
        message = f"an id is longer than {LONGEST_ID} characters"
        raise UnreadableInstanceError(message)
    return Instance(form_id, version, own, edited, root)


def _meta(root: Element, name: str) -> str:
    """Return what a form says of itself; a group of questions may be called `meta` too."""
    told = (one.said(name) for one in root.children if one.name == "meta")
    return next(filter(None, told), "")


def _parse(raw: bytes) -> Element:
    if len(raw) > MOST_BYTES:
        message = f"longer than {MOST_BYTES} bytes"
        raise UnreadableInstanceError(message)
    top = Element("")
    open_now = [top]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MOST_ELEMENTS or len(open_now) > MOST_LEVELS:
            message = f"more than {MOST_ELEMENTS} elements or {MOST_LEVELS} levels"
            raise UnreadableInstanceError(message)
        named = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition(" ")[2], named)
        open_now[-1].children.append(element)
        open_now.append(element)

    def end(_name: str) -> None:
        open_now.pop()

    def text(words: str) -> None:
        open_now[-1].text += words

    def refuse(*_: object) -> None:
        message = "a document type is not taken"
        raise UnreadableInstanceError(message)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refuse
    try:
        parser.Parse(raw, True)  # noqa: FBT003 (expat takes no keyword)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if isinstance(error, UnreadableInstanceError):
            raise
        message = "not well-formed XML"
        raise UnreadableInstanceError(message) from None
    return top.children[0]
