"""The scene in which people work one case, step by step, told in Bangla as a desk would say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from deploy.local.demo.cast import WORKED
from deploy.local.demo.play import until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from deploy.local.demo.play import Play

    _Line = Callable[[dict[str, Any]], str]

_DUE: Final = {"case-follow-up": "আবার খোঁজ নেওয়ার দিন", "case-review": "সব আবার দেখার দিন"}
_RISKS: Final = {"high": "বেশি", "medium": "মাঝারি", "low": "কম"}


def _steps(asked: Mapping[str, str]) -> list[tuple[str, dict[str, Any], _Line]]:
    due = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    goal = {"need": "education", "who": "example-worker", "by": due, "text": "স্কুলে ফেরা"}
    return [
        (
            "assign",
            {"worker": "example-worker", "supervisor": "example-supervisor"},
            lambda a: f"একজন কর্মী ও একজন তত্ত্বাবধায়ক আছেন (কর্মীর হাতে এখন {a['open_cases']}টি)",
        ),
        (
            "verify",
            {"finding": "substantiated", "means": "visit", "text": "বানানো কথা"},
            lambda _: "গিয়ে দেখা হয়েছে: সত্য",
        ),
        (
            "assess",
            {
                "instrument": "pashe-risk-1",
                "answers": {"needs_care": "yes", "harm_goes_on": "no", "alleged_near": "no"},
            },
            lambda a: (
                f"ঝুঁকি {_RISKS[a['risk']]}। যা দেখে: {' '.join(asked[r] for r in a['reasons'])}"
            ),
        ),
        (
            "safety-plan",
            {"text": "বানানো: বিপদ হলে পাশের বাসার খালার কাছে"},
            lambda _: "নিরাপদ থাকার উপায় ঠিক হয়েছে (কথাগুলো সিল করা)",
        ),
        (
            "plan",
            {"goals": [goal], "agreed_by": "person", "how": "spoken"},
            lambda _: f"মানুষটির সঙ্গে মিলে ঠিক হয়েছে কী চাই, কে করবে, কবে: {due}",
        ),
        (
            "contacts",
            {"means": "phone", "result": "reached", "text": "বানানো কথা"},
            lambda a: f"কথা হয়েছে ({a['attempt']} বারের চেষ্টায়)",
        ),
    ]


async def work_one_case(play: Play) -> list[str]:
    """Play one case worked by people from its report to its review; return what is missing."""
    say = play.console.print
    say("[bold]People work one case[/], from its report to its review")
    answer = await play.partner.post("/intake/v1/reports", WORKED)
    answer.raise_for_status()
    play.accepted_reports += 1
    case_id = str(answer.json()["case_ids"][0])
    path = f"/intake/v1/cases/{case_id}"

    async def opened() -> bool:
        return bool((await play.coordinator.get(path))["facts"])

    await until("the case is open", opened)
    instruments = await play.coordinator.get("/intake/v1/risk-instruments")
    asked = {q["key"]: q["bn"] for i in instruments["items"] for q in i["question"]}
    for step, body, line in _steps(asked):
        taken = await play.coordinator.post(f"{path}/{step}", body)
        if taken.is_error:
            return [f"the step {step} was refused: {taken.status_code}"]
        say(f"  আপনার বিষয়টি: {line(taken.json())}")

    async def due() -> bool:
        for referral in await play.coordinator.all("/referral/v1/referrals", case_id=case_id):
            if referral["provider_id"]:
                play.follow(referral["provider_id"])
        return bool((await play.coordinator.get(path))["status"] == "review_due")

    await until("the worked case comes to its review", due)
    say("  সাহায্য পৌঁছেছে; এখন একজন মানুষ দেখবেন, শেষ কি না")
    work = await play.coordinator.get(f"{path}/work")
    for item in work["due"]:
        if (due_for := _DUE.get(item["kind"])) is not None:
            say(f"  {due_for}: {item['due_at'][:10]}")
    closed = await play.coordinator.post(f"{path}/close", {"reason": "goals_met_and_safe"})
    if closed.is_error or closed.json()["status"] != "closed":
        return ["the worked case was not closed by a person"]
    say("  এখন শেষ; আবার লিখতে পারেন। এক মাস পরে আবার খোঁজ নেওয়া হবে")
    play.cases.append(case_id)
    return []
