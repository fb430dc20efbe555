"""A packet on paper, in Bangla: for a centre that has no system, or a person who hands it over.

Its title and file name tell nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.intake.packets.packet import Made, Packet
from shared.pages.languages import digits, load_texts, show_date, show_whole_place
from shared.pages.pages import HERE
from shared.pages.words import word

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROLES: Final = {
    "event": "যেখানে ঘটেছে",
    "now": "এখন যেখানে",
    "home": "বাড়ি",
    "last_seen": "শেষ যেখানে দেখা গেছে",
    "destination": "যেখানে যাওয়ার কথা",
}
_BASES: Final = {
    "consent": "মানুষটি রাজি",
    "assent_and_caregiver": "শিশুটি ও তার অভিভাবক রাজি",
    "assent_and_trusted_adult": "শিশুটি রাজি, পাশে একজন বিশ্বস্ত বড় মানুষ ছিলেন",
    "best_interest": "শিশুর সর্বোত্তম স্বার্থে, দায়িত্বপ্রাপ্তদের সিদ্ধান্তে",
    "legal_duty": "আইনি বাধ্যবাধকতায়",
}
_BN: Final = "bn"


def lines_of(packet: Packet) -> list[tuple[str, str]]:
    """Return what the paper says, as terms and texts in Bangla."""
    texts, facts = load_texts((HERE,), _BN), packet.facts

    def words(kind: str, codes: Iterable[str]) -> str:
        return ", ".join(word(texts, code, kind) for code in codes)

    contact = packet.told.get("safe_contact") or {}
    told = [
        ("নাম", packet.name or ""),
        ("নম্বর (নিরাপদ হলে তবেই)", packet.phone or ""),
        ("কাকে চাইবেন", str(contact.get("ask_for") or "")),
        ("কখন ফোন করা যায়", ", ".join(map(str, contact.get("hours") or ()))),
        ("বয়স", _years(packet.age)),
        ("মেয়ে না ছেলে", words("sex", [facts.sex])),
        ("কী নিয়ে ভয়", words("concern", facts.concerns)),
        ("কী দরকার", words("need", facts.needs)),
        ("কত তাড়াতাড়ি", words("urgency", [facts.urgency] if facts.urgency else [])),
        (
            "এলাকা",
            show_whole_place(facts.upazila or facts.district or "", _BN) if facts.district else "",
        ),
        *((name, "; ".join(packet.places(role))) for role, name in _ROLES.items()),
        ("যা বলা হয়েছে", packet.narrative or ""),
        ("অন্য দপ্তরের নম্বর", "; ".join(f"{r['system']}: {r['value']}" for r in packet.references)),
        ("কিসের ভিত্তিতে জানানো হলো", _BASES.get(packet.basis, packet.basis)),
        ("কার জন্য", packet.to),
        ("কবে", show_date(packet.made_at, _BN)),
    ]
    return [(name, said) for name, said in told if said]


def _years(age: Any) -> str:  # noqa: ANN401  (a range of the report)
    told = age or {}
    known = [str(told[name]) for name in ("min", "max") if told.get(name) is not None]
    return f"{digits('–'.join(dict.fromkeys(known)), _BN)} বছর" if known else ""


def make_pdf(packet: Packet) -> Made:
    """Return the packet on paper; it says all, so that nothing is left."""
    from services.intake.packets.paper import set_page  # noqa: PLC0415  (loads ReportLab)

    foot = (
        "গোপন। শুধু যাঁর জন্য, তিনিই পড়বেন। পড়ে জানান, নিলেন কি না। "
        f"প্যাকেট {str(packet.packet_id)[:8]}, বিষয় {str(packet.case_id)[:8]}"
    )
    return Made(
        set_page("একজনের জন্য সাহায্যের অনুরোধ", lines_of(packet), foot), "application/pdf", "pdf"
    )
