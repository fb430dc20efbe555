"""What other services copied of an erased case is blank, and what waited is sent no more."""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import text

from services.notification import person_store
from services.notification.domain import NoticeId, NoticeState
from services.notification.person_store import PersonNotice, blank_notices
from services.notification.policy import Recipient
from shared.clock import new_event_id
from shared.database import make_engine
from shared.erasure import make_blanker, schedule_blanking
from shared.timers import TimerLoop
from tests.support.platform import fresh_database
from tests.support.room import AT


def notice(case_id: UUID, state: NoticeState) -> PersonNotice:
    return PersonNotice(
        id=NoticeId(new_event_id()),
        notifier="sms",
        recipient=Recipient.PERSON,
        case_id=case_id,
        referral_id=uuid4(),
        event_id=new_event_id(),
        type="referral-accepted",
        happened_at=AT,
        template="news",
        state=state,
        useful_until=AT,
        test=False,
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )


async def test_notices_to_persons_are_blank_and_what_waited_is_not_sent(
    postgres_admin_dsn: str,
) -> None:
    erased, other = uuid4(), uuid4()
    async with fresh_database(postgres_admin_dsn, "notification") as database:
        engine = make_engine(database.urls("notification")["DATABASE_URL"], size=2, name="test")
        kind = make_blanker(lambda: AT, also=blank_notices)
        timers = TimerLoop(engine, [kind], clock=lambda: AT)
        try:
            async with engine.begin() as conn:
                waiting, sent = NoticeState.WAITING, NoticeState.SENT
                told = [notice(erased, waiting), notice(erased, sent), notice(other, waiting)]
                await person_store.insert(conn, told, AT)
                await conn.execute(
                    text("UPDATE person_notices SET recipient_mark = '\\x01' WHERE state = 'sent'")
                )
                await schedule_blanking(conn, [str(erased)], AT)
            assert await timers.round() == 1
            async with engine.begin() as conn:
                rows = await conn.execute(
                    text(
                        "SELECT case_id, type, template, traceparent, recipient_mark, state,"
                        " due_at FROM person_notices ORDER BY state DESC"
                    )
                )
                found = [tuple(row) for row in rows]
        finally:
            await engine.dispose()
    blank = ("erased", "", None, None)
    assert found[0] == (erased, *blank, "withheld", None)
    assert found[2] == (erased, *blank, "sent", None)
    assert found[1][:2] == (other, "referral-accepted")
    assert found[1][5:] == ("waiting", AT)
