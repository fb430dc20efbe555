"""Cut Noto Sans Bengali to what Bangla needs, with its shaping, as woff2: run it as a module.

`python -m tests.support.subset_font [FOLDER]`; the folder is where Debian's fonts-noto-core is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from fontTools.subset import Options, Subsetter, load_font, save_font

from shared.pages.assets import SHARED

DEBIAN: Final = Path("/usr/share/fonts/truetype/noto")
WEIGHTS: Final = {"Regular": "bangla.woff2", "Bold": "bangla-bold.woff2"}
SIGNS: Final = (0x964, 0x965, *range(0x980, 0x9FF), 0x200C, 0x200D, 0x25CC)
"""Danda, the whole Bengali block, the joiners, and the circle under a lone vowel sign."""


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


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN
    for weight, name in WEIGHTS.items():
        size = cut(folder / f"NotoSansBengali-{weight}.ttf", SHARED / name)
        print(f"{name}: {size} bytes")


if __name__ == "__main__":
    main()
