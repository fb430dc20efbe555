"""Files with planted words in their names, types, tags and bytes, sent as anybody may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.canary_words import CALLED, NAME, PERSON, TOLD, Teller, report
from tests.support.pictures import MP3, mp4, picture

if TYPE_CHECKING:
    import httpx


def send_files(teller: Teller) -> None:
    """Send files with planted words in their names, types, tags and bytes."""
    receipt = teller.must("POST", "/intake/v1/reports", json=report())["receipt"]
    mp3 = MP3 + TOLD.encode()
    for content in (picture("PNG", TOLD), picture("WEBP", TOLD), mp3, TOLD.encode()):
        assert attach(teller, receipt, content).status_code == 201
    film = mp4(b"isom", b"vide") + TOLD.encode()
    for given, content, status in (
        (receipt, film, 415),
        (NAME, picture(said=TOLD), 422),
        (PERSON, picture(said=TOLD), 422),
        (receipt, b"", 422),
    ):
        assert attach(teller, given, content).status_code == status
    path = "/intake/v1/receipts/attachments"
    teller.fails("POST", path, 422, data={"receipt": receipt}, files={NAME: TOLD.encode()})
    for kind in (f"multipart/form-data; boundary={NAME}", "multipart/form-data", f"x/{NAME}"):
        teller.fails("POST", path, 400, content=TOLD.encode(), headers={"content-type": kind})


def attach(teller: Teller, receipt: str, content: bytes) -> httpx.Response:
    """Send a file with a receipt, with planted words for its name and type."""
    file = (f"{TOLD} {CALLED}.jpg", content, f"image/{NAME}")
    path = "/intake/v1/receipts/attachments"
    return teller.say("POST", path, data={"receipt": receipt}, files={"file": file})
