"""The committee's form as phones download it, and what the list of forms says of it.

`form.toml` is its source, `report.xlsx` the XLSForm, `report.xml` the XForm that pyxform makes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

FOLDER: Final = Path(__file__).parent
FILE: Final = FOLDER / "report.xml"

_HEAD: Final = "{http://www.w3.org/1999/xhtml}"
_MODEL: Final = "{http://www.w3.org/2002/xforms}"


@dataclass(frozen=True, slots=True)
class Form:
    """One form: its id, version and title, and the very bytes that are served."""

    form_id: str
    version: str
    title: str
    content: bytes

    @property
    def hash(self) -> str:
        """How OpenRosa names the bytes: `md5:` and hex."""
        return f"md5:{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"


@cache
def load_form() -> Form:
    """Read the form, which is the only one."""
    content = FILE.read_bytes()
    root = ET.fromstring(content)  # noqa: S314  (our own file)
    title = root.findtext(f"{_HEAD}head/{_HEAD}title") or ""
    (first, *_) = root.iterfind(f"{_HEAD}head/{_MODEL}model/{_MODEL}instance/*")
    return Form(first.attrib["id"], first.attrib["version"], title, content)
