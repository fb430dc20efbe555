"""A filled form of OpenRosa is read within bounds, whatever is sent."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.channels.openrosa.instances import (
    LONGEST_ID,
    MOST_BYTES,
    MOST_ELEMENTS,
    MOST_LEVELS,
    UnreadableInstanceError,
    read_instance,
)

META = "<meta><instanceID>uuid:1</instanceID></meta>"


def filled(inside: str, attributes: str = 'id="f" version="1"', meta: str = META) -> bytes:
    return f"<data {attributes}>{inside}{meta}</data>".encode()


def test_a_filled_form_is_read_with_its_ids_and_answers() -> None:
    meta = (
        '<o:meta xmlns:o="http://openrosa.org/xforms"><o:instanceID>uuid:2</o:instanceID>'
        "<o:deprecatedID>uuid:1</o:deprecatedID></o:meta>"
    )
    read = read_instance(filled("<note> সাহায্য </note><a><b>1</b></a>", meta=meta))
    assert (read.form_id, read.version) == ("f", "1")
    assert (read.instance_id, read.deprecated_id) == ("uuid:2", "uuid:1")
    assert (read.root.said("note"), read.root.said("a", "b")) == ("সাহায্য", "1")
    assert read.root.said("a", "c", "d") == ""
    assert "সাহায্য" not in repr(read)


def test_a_group_of_questions_may_be_called_meta_too() -> None:
    assert read_instance(filled("<meta><age>9</age></meta>")).instance_id == "uuid:1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no xml",
        b"<data",
        b"<data/><data/>",
        b'<?xml version="1.0" encoding="no-such"?><data/>',
        b"\xff\xfe\x00",
        filled("", 'version="1"'),
        filled("", meta=""),
        filled("", f'id="{"f" * (LONGEST_ID + 1)}"'),
        filled("<a/>" * MOST_ELEMENTS),
        filled("<a>" * MOST_LEVELS + "</a>" * MOST_LEVELS),
        filled("a" * MOST_BYTES),
        b'<!DOCTYPE d [<!ENTITY a "b">]>' + filled("&a;"),
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd">' + filled(""),
    ],
    ids=range(14),
)
def test_what_is_no_filled_form_is_refused(raw: bytes) -> None:
    with pytest.raises(UnreadableInstanceError):
        read_instance(raw)


@given(st.binary() | st.text().map(str.encode) | st.text(alphabet="<>/ad&;!'\" =[]").map(filled))
def test_whatever_is_sent_is_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(UnreadableInstanceError):
        assert read_instance(raw).instance_id
