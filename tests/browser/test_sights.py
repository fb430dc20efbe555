"""What is looked at in every page is found where it was put on purpose, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.browser import sights

if TYPE_CHECKING:
    from playwright.async_api import Page

GOOD: Final = "<button style='border:1px solid'>ঠিক আছে</button><p>একটি কথা</p>"

PLANTED: Final = {
    "wider": (sights.WIDER, "<p style='width:500px'>চওড়া</p>"),
    "cut": (sights.CUT, "<p style='width:40px;overflow:hidden;white-space:nowrap'>কাটা লেখা</p>"),
    "overlapping": (
        sights.OVERLAPPING,
        "<button>এক</button><button style='position:absolute;left:0;top:0'>দুই</button>",
    ),
    "pale": (sights.PALE, "<p style='color:#999'>ফ্যাকাশে</p>"),
    "pale on a ground": (sights.PALE, "<p style='background:#000;color:#555'>অন্ধকার</p>"),
    "a pale edge": (sights.PALE, "<input aria-label='x' style='border:1px solid #ddd'>"),
    "bare": (sights.BARE, "<button style='border:0'>কী</button>"),
    "moving": (sights.MOVING, "<p style='transition:color 1s'>চলে</p>"),
    "printed": (sights.PRINTED, "<p class='unprinted'>কাগজে নয়</p>"),
    "inline": (sights.INLINE, "<p onclick='x()'>চাপুন</p>"),
}


async def test_each_sight_finds_what_was_planted(page: Page) -> None:
    for name, (sight, planted) in PLANTED.items():
        await page.set_content(f"<!doctype html><html lang=bn><body>{GOOD}{planted}</body></html>")
        assert await page.evaluate(sight), name


async def test_a_page_without_a_fault_has_none(page: Page) -> None:
    whole = f"<!doctype html><html lang=bn><body>{GOOD}</body></html>"
    await page.set_content(whole.replace(" style='border:1px solid'", ""))
    for name in ("wider", "cut", "overlapping", "pale", "bare", "moving", "inline"):
        assert await page.evaluate(PLANTED[name][0]) == [], name


async def test_what_a_bangla_page_says_leaves_out_code_and_own_words(page: Page) -> None:
    await page.set_content(
        "<!doctype html><html lang=bn><body><p>এখন planned</p><code>no_answer</code>"
        "<p>Invented waiting words</p><p lang=en>accepted</p></body></html>"
    )
    assert (await page.evaluate(sights.BANGLA)).split() == ["এখন", "planned"]
