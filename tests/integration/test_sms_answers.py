"""A provider without a system answers by SMS, through the whole stack: yes, no, and the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from services.intake.channels.sms.replies import words_of
from services.notification.templates import load_templates
from shared.access import service_token
from shared.answer_code import answer_code
from shared.vocabulary import Role
from tests.integration.test_access import a_referral
from tests.support.people import Desk
from tests.support.wait import eventually

if TYPE_CHECKING:
    import httpx

    from tests.support.stack import Stack

BANGLA = str.maketrans("0123456789", "০১২৩৪৫৬৭৮৯")
WORKER = "01712000043"


def by_sms(http: httpx.Client, text: str) -> list[Any]:
    """Send a text by Telerivet and return the replies in the answer."""
    form = {"event": "incoming_message", "id": uuid4().hex, "content": text, "secret": "invented"}
    path = "/intake/channels/sms/telerivet"
    answer = http.post(path, data=form | {"from_number": WORKER}).raise_for_status()
    return [one["content"] for one in answer.json()["messages"]]


async def test_a_provider_answers_by_keyword(whole_stack: Stack) -> None:
    desk = whole_stack.bearer(Role.COORDINATOR)
    with whole_stack.client(timeout=30, headers=desk) as http:

        def shown(referral_id: str | UUID) -> dict[str, Any]:
            found = http.get(f"/referral/v1/referrals/{referral_id}").raise_for_status().json()
            return dict(found)

        async def told(word: str, state: str) -> dict[str, Any]:
            """Answer a new referral once intake heard of it, and wait for its state."""
            referral_id, provider = await a_referral(whole_stack)
            kept = f"/intake/v1/contacts/providers/{provider}"
            body = {"numbers": [WORKER, "+8801712000044"], "emails": ["worker@example.org"]}
            numbers = http.put(kept, json=body).raise_for_status().json()
            assert numbers["numbers"] == [{"ending": "43"}, {"ending": "44"}]
            assert numbers["emails"] == [{"ending": "rg"}]
            code = shown(referral_id)["answer_code"]
            text = word.format(code.translate(BANGLA))
            thanks = [words_of("answer_taken", "bn")]
            await eventually(lambda: by_sms(http, text) == thanks, 30, "thanks", every=0.5)
            await eventually(lambda: shown(referral_id)["state"] == state, 30, state)
            assert by_sms(http, text) == thanks
            assert http.delete(kept).status_code == 204
            assert http.get(kept).status_code == 404
            assert by_sms(http, text) != thanks
            return shown(referral_id)

        accepted = await told("হ্যাঁ {}", "accepted")
        assert "answer_code" not in accepted
        lines = http.get(f"/audit/v1/cases/{accepted['case_id']}/history").json()["items"]
        assert "provider-answered" in {line["type"] for line in lines}

        declined = await told("না {} ১", "declined")
        assert declined["reason"] == "no_capacity"
        query = {"case_id": declined["case_id"]}
        items = http.get("/referral/v1/referrals", params=query).json()["items"]
        following = next(r for r in items if r["attempt"] == declined["attempt"] + 1)
        assert following["provider_id"] != declined["provider_id"]
        assert following["state"] != "assigned" or following["answer_code"] == answer_code(
            UUID(following["referral_id"])
        )


async def test_a_worker_hears_by_sms_what_is_asked_and_the_code_to_answer_by(
    whole_stack: Stack,
) -> None:
    mine = "01712000099"
    with whole_stack.client(timeout=30) as http:
        desk = Desk(whole_stack, http)
        known: set[str] = set()
        try:
            while True:  # until the rules choose an office that has a number here
                referral_id, provider = await a_referral(whole_stack, "medical")  # at any hour
                if provider in known:
                    break
                known.add(provider)
                path = f"/intake/v1/contacts/providers/{provider}"
                http.put(
                    path, json={"numbers": [mine]}, headers=desk.coordinator
                ).raise_for_status()
            text = load_templates().text(
                "answer_asked", "bn", {"code": answer_code(UUID(referral_id))}
            )
            await eventually(lambda: text in desk.texts("+8801712000099"), 60, "the worker's text")
            assert desk.texts("+8801712000099").count(text) == 1
            seed = (whole_stack.home / "keys/notification/signing.key").read_text("ascii")
            service = service_token(bytes.fromhex(seed), "notification")
            unknown, (other, _) = str(uuid4()), await a_referral(whole_stack, "legal_aid")
            asked = {"referral_ids": [str(referral_id), unknown, str(other)]}
            path, by = "/intake/v1/contacts/sift", {"authorization": f"Bearer {service}"}
            assert http.post(path, json=asked, headers=desk.coordinator).status_code == 403

            def sifted() -> bool:
                told = http.post(path, json=asked, headers=by).raise_for_status().json()
                return bool(told == {"moot": [str(other)], "later": [unknown]})

            await eventually(sifted, 30, "what intake says of the three")
        finally:
            for provider in known:
                http.delete(f"/intake/v1/contacts/providers/{provider}", headers=desk.coordinator)
