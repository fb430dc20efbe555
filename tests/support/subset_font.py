"""Cut Noto Sans Bengali to what Bangla needs, with its shaping: run it as a module.

Pages get it as woff2, what is printed as TrueType.

`python -m tests.support.subset_font [FOLDER]`; the folder is where Debian's fonts-noto-core is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from fontTools.merge import Merger
from fontTools.subset import Options, Subsetter, load_font, save_font

from services.intake.packets.paper import FONT
from shared.pages.assets import SHARED

DEBIAN: Final = Path("/usr/share/fonts/truetype/noto")
WEIGHTS: Final = {"Regular": "bangla.woff2", "Bold": "bangla-bold.woff2"}
SIGNS: Final = (0x964, 0x965, *range(0x980, 0x9FF), 0x200C, 0x200D, 0x25CC)
"""Danda, the whole Bengali block, the joiners, and the circle under a lone vowel sign."""

LATIN: Final = (*range(0x20, 0x7F), *range(0xA0, 0x180), 0x2013, 0x2014, 0x2018, 0x2019, 0x2022)


def cut(source: Path, target: Path) -> int:
    """Write the subset; return its bytes."""
    kept = [0, 1, 2, 13, 14]  # names, copyright, licence
    options = Options(flavor="woff2", layout_features=["*"], hinting=False, name_IDs=kept)
    font = load_font(str(source), options)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=SIGNS)
    subsetter.subset(font)
    save_font(font, str(target), options)
    return target.stat().st_size


def join(folder: Path, target: Path) -> int:
    """Write one font with Bangla and Latin letters for what is printed; return its bytes."""
    parts: list[Path] = []
    for name, signs in (("Bengali-Regular", SIGNS), ("-Regular", LATIN)):
        options = Options(layout_features=["*"] if signs is SIGNS else [], hinting=False)
        options.drop_tables += ["BASE", "GDEF"] if signs is LATIN else []
        font = load_font(str(folder / f"NotoSans{name}.ttf"), options)
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=signs)
        subsetter.subset(font)
        part = target.with_suffix(f".{len(parts)}")
        save_font(font, str(part), options)
        parts.append(part)
    Merger().merge([str(part) for part in parts]).save(target)
    for part in parts:
        part.unlink()
    return target.stat().st_size


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN
    for weight, name in WEIGHTS.items():
        size = cut(folder / f"NotoSansBengali-{weight}.ttf", SHARED / name)
        print(f"{name}: {size} bytes")
    print(f"{FONT.name}: {join(folder, FONT)} bytes")


if __name__ == "__main__":
    main()
