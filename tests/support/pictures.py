"""Invented files as telephones send them, with words in every place that holds any."""

from __future__ import annotations

import io
import struct
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

OGG: Final = b"OggS\0\2" + bytes(22) + b"OpusHead" + bytes(60)
AMR: Final = b"#!AMR\n" + b"\x3c" * 40
MP3: Final = b"ID3\4\0\0\0\0\0\0" + b"\xff\xfb\x90\0" + bytes(400)
WAV: Final = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + bytes(60)
HEIC: Final = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)


def mp4(brand: bytes, *handlers: bytes) -> bytes:
    """Return the boxes of an MP4 that say what is in it."""
    begin = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mp42isom"
    return begin + b"".join(b"\0\0\0\x21hdlr" + bytes(8) + h + bytes(13) for h in handlers)


def webm(*codecs: bytes) -> bytes:
    """Return the beginning of a WebM with tracks of these codecs."""
    return b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm" + bytes(40) + b"".join(codecs)


def picture(format_: str = "JPEG", said: str = "", size: tuple[int, int] = (400, 300)) -> bytes:
    """Return a picture, with `said` as author, comment, profile, XMP and in its thumbnail's place.

    Its coordinates are those of an invented house.
    """
    image = Image.radial_gradient("L").resize(size).convert("RGB")
    exif = Image.Exif()
    more: dict[str, Any] = {}
    if said:
        exif[0x010E] = exif[0x013B] = said
        exif[0x0112] = 6
        gps = exif.get_ifd(0x8825)
        gps[1], gps[2] = "N", tuple(IFDRational(n) for n in (23, 42, 37))
        gps[29] = said.encode("ascii", "replace").decode()
        more = {"exif": exif, "icc_profile": b"profile " + said.encode()}
        if format_ == "JPEG":
            more["comment"] = said.encode()
        if format_ in ("JPEG", "WEBP"):
            more["xmp"] = f"<x:xmpmeta>{said}</x:xmpmeta>".encode()
        if format_ == "PNG":
            more["pnginfo"] = PngInfo()
            more["pnginfo"].add_itxt("Comment", said)
    written = io.BytesIO()
    image.save(written, format_, **more)
    return written.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """Return a PNG of some bytes that says it has so many pixels."""
    raw = bytearray(picture("PNG"))
    raw[16:24] = struct.pack(">II", width, height)
    return bytes(raw)
