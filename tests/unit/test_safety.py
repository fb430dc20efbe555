"""A walk along the rules for the safety of people: one test a rule, named by it.

Each has what can be told here in milliseconds, and points to the tests that show the rest on real
servers and in a real browser: `shown_by` fails when one of them is gone. What no machine can tell
stands in `docs/safety.md`, rule by rule, for a person to look at.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any, Final

from services.intake.helplines import load_lines
from services.intake.pages.public.learning import list_readings
from services.intake.report import ReportIn, SafeContact
from services.notification.templates import Audience, load_templates
from shared.pages import headers
from shared.text import normalise
from tests.support.processes import ROOT
from tests.support.screens import PUBLIC, public_templates, shown_texts

DOC: Final = (ROOT / "docs" / "safety.md").read_text("utf-8")
RULES: Final = ("1", "2", "3", "4", "5", "6", "7", "7a", "7b", "7c", "7d", "8", "9", "10", "11")
LAST: Final = ("12", "28")


@cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, found))


def shown_by(rule: str, *tests: str) -> None:
    """Assert that the tests are there (`folder/file.py::name`), and that the document has the rule.

    Only a test that stands in the document's row is one that a reader finds.
    """
    row = next((line for line in DOC.splitlines() if line.startswith(f"| {rule} |")), "")
    assert row, f"docs/safety.md has no row {rule}"
    for test in tests:
        file, _, name = test.partition("::")
        assert f"test_{name}" in _tests_of(file), test
        assert file.rpartition("/")[2] in row, f"{file} is not named in the row of rule {rule}"


def test_the_document_has_a_row_for_every_rule_and_this_file_a_test() -> None:
    rows = re.findall(r"^\| (\d+[a-d]?) \|", DOC, re.MULTILINE)
    assert rows == [*RULES, *LAST]
    own = _tests_of("unit/test_safety.py")
    for rule in rows:
        assert any(name.startswith(f"test_rule_{rule}_") for name in own), rule


def test_rule_1_nobody_is_contacted_who_did_not_say_how() -> None:
    assert SafeContact().allowed is False
    assert ReportIn(channel="web").reporter.safe_contact.allowed is False
    page = (PUBLIC / "steps" / "agree.html").read_text("utf-8")
    assert 'chosen=told.contact or "no"' in page
    shown_by(
        "1",
        "unit/test_public_pages.py::nobody_is_contacted_who_did_not_say_how_and_a_number_is_of_one_person",
        "unit/test_reporters.py::nobody_is_reached_who_did_not_say_how",
        "unit/test_notification_policy.py::what_intake_answers_decides_at_the_moment_of_sending",
    )


def test_rule_2_a_notice_to_a_person_says_nothing_of_what_it_is_about() -> None:
    told = load_templates()
    persons = [name for name in told.names if told.audience(name) is Audience.PERSONS]
    assert persons
    numbers = {line.number for line in load_lines()}
    for name in persons:
        for language in ("bn", "en"):
            text = told.text(name, language)
            assert not numbers & set(re.findall(r"\d+", normalise(text)))
            assert "://" not in text
    shown_by(
        "2",
        "unit/test_notification_templates.py::a_text_is_one_sms_and_gives_nothing_away",
        "unit/test_talk.py::nothing_on_a_screen_tells_what_it_is_about_or_asks_for_a_name",
    )


def test_rule_3_every_question_can_be_left_out_and_what_is_told_is_not_asked_again() -> None:
    for step in sorted((PUBLIC / "steps").glob("*.html")):
        text = step.read_text("utf-8")
        assert "required=true" not in text, step.name
        assert "required" not in re.findall(r"<(?:input|select|textarea)[^>]*", text), step.name
    for name in ("now", "who", "people", "where", "which"):
        assert "I don't know" in (PUBLIC / "steps" / f"{name}.html").read_text("utf-8"), name
    shown_by(
        "3",
        "unit/test_public_pages.py::everything_may_be_left_out_and_the_report_is_still_one",
        "unit/test_talk.py::the_least_is_asked_and_everything_can_be_passed_over",
        "unit/test_disclosure_cut.py::fields_are_cut_to_consent_and_purpose",
    )


def test_rule_4_only_the_person_agrees_and_hears_before_to_what() -> None:
    page = (PUBLIC / "steps" / "agree.html").read_text("utf-8")
    told, asked = page.index("may have to call for help"), page.index("Do you agree")
    assert told < asked, "the limits of what is kept to oneself come before the question"
    assert "later" in page
    shown_by(
        "4",
        "unit/test_public_pages.py::only_the_person_agrees_and_for_what_was_asked",
        "unit/test_consent_rules.py::a_person_of_18_consents_and_it_ends_by_itself",
        "unit/test_consent_rules.py::an_alleged_caregiver_neither_gives_nor_takes_back",
        "integration/test_consent.py::a_withdrawal_stops_disclosures_at_once",
        "integration/test_disclosure.py::a_consent_taken_back_ends_referral_and_disclosure",
    )


def test_rule_5_an_override_has_a_supervisor_and_a_reason() -> None:
    shown_by(
        "5",
        "unit/test_consent_rules.py::best_interest_needs_a_supervisor_a_reason_and_for_parting_a_body",
        "unit/test_consent_rules.py::legal_duty_needs_an_instrument_in_force_and_none_is_shipped",
        "unit/test_consent_rules.py::nobody_but_a_supervisor_ends_an_override",
    )


def test_rule_6_whoever_is_named_is_routed_around_and_the_reason_names_nobody() -> None:
    shown_by(
        "6",
        "unit/test_access_rules.py::whoever_a_case_names_in_a_conflict_reaches_nothing_of_it",
        "unit/test_access_rules.py::the_reason_of_a_conflict_names_nobody",
        "unit/test_disclosure_cut.py::an_excluded_provider_learns_nothing_even_after_it_accepted",
        "unit/test_release.py::no_machine_sends_a_case_to_the_police_or_for_what_people_decide",
        "browser/test_desk.py::whom_a_case_names_finds_nothing_of_it_on_any_page",
    )


def test_rule_7_a_committee_has_stubs_of_its_own_reports() -> None:
    shown_by(
        "7",
        "unit/test_access_rules.py::a_committee_member_has_a_stub_of_the_own_report_while_a_member",
        "integration/test_access_objects.py::a_stub_says_that_it_is_there_and_nothing_of_what_came_of_it",
        "browser/test_committee_page.py::what_a_coordinator_asked_is_a_stub_and_its_answer_comes_before_the_desk",
    )


def test_rule_7a_a_receipt_reveals_one_of_four_words() -> None:
    shown_by(
        "7a",
        "unit/test_reporters.py::a_receipt_reveals_one_of_four_words",
        "integration/test_receipt_timing.py::twenty_histories_answer_alike",
        "unit/test_consent_rules.py::a_third_party_takes_nothing_back",
    )


def test_rule_7b_who_reported_never_leaves_the_centre_unless_they_agreed() -> None:
    shown_by(
        "7b",
        "unit/test_disclosure_cut.py::a_reporter_is_shielded_by_default",
        "unit/test_disclosure_cut.py::the_reporters_name_and_words_are_told_only_if_the_reporter_agreed",
        "browser/test_provider.py::a_worker_says_yes_in_two_taps_learns_who_it_is_and_delivers",
    )


def test_rule_7c_a_stop_ends_messages_and_nothing_else() -> None:
    shown_by(
        "7c",
        "unit/test_reading.py::a_command_is_the_whole_message",
        "browser/test_public.py::whoever_comes_back_can_say_more_ask_for_a_call_and_stop_it",
    )


def test_rule_7d_a_text_gets_one_neutral_answer_at_most() -> None:
    shown_by(
        "7d",
        "integration/test_sms_channel.py::the_same_message_fifty_times_at_once_is_one_report",
        "integration/test_sms_channel.py::only_what_cannot_be_answered_at_once_is_answered_later",
    )


def test_rule_8_every_public_page_can_be_left_and_keeps_nothing() -> None:
    whole = (ROOT / "shared/pages/templates/public.html").read_text("utf-8")
    assert "href=\"{{ url('/x') }}\"" in whole, "a plain link, which works without a script"
    assert "does not clear the history" in whole
    for template in public_templates():
        text = template.read_text("utf-8")
        assert not re.search(r"block (title|header|rooms|footer|scripts) ", text), template.name
        for form in re.findall(r"<form[^>]*>", text):
            assert 'method="post"' in form, "what is filled in stands in no address"
    told = headers.PUBLIC
    assert (told["Cache-Control"], told["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert "unsafe" not in headers.POLICY
    assert "http" not in headers.POLICY
    script = (ROOT / "shared/pages/static/leave.js").read_text("utf-8")
    for kept in ("Storage", "indexedDB", "cookie", "caches", "pushState", "history."):
        assert kept not in script
    shown_by(
        "8",
        "browser/test_public.py::leaving_is_at_once_and_the_way_back_leads_to_nothing_of_ours",
        "browser/test_public.py::leaving_works_without_a_script_and_empties_the_cache",
        "browser/test_public.py::somebody_tells_with_a_script_and_leaves_one_line_of_history",
        "browser/test_every_page.py::a_public_page_is_left_and_keeps_nothing",
    )


def test_rule_9_plain_words_bangla_first_and_a_way_out_that_is_no_page() -> None:
    seen = set()
    for where, text, words in shown_texts():
        seen.add(where.split("/")[0])
        assert not words, f"{where}: {words} in {text}"
    assert {"services", "shared"} <= seen
    whole = (ROOT / "shared/pages/templates/public.html").read_text("utf-8")
    assert re.findall(r'href="tel:(\d+)"', whole) == ["999", "1098"], "on every page, in its foot"
    style = (ROOT / "shared/pages/static/style.css").read_text("utf-8")
    for colour in re.findall(r"#([0-9a-f]{6})\b", style):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
        assert not (red > 180 and green < 70 and blue < 70), f"#{colour} is a red alarm"
    assert not re.search(r"@keyframes|animation:(?! none)|http-equiv", style + whole)
    shown_by(
        "9",
        "unit/test_page_texts.py::no_text_holds_a_word_that_no_screen_holds",
        "unit/test_public_pages.py::no_step_is_counted_beyond_five_and_back_leads_to_the_first",
    )


def test_rule_10_nothing_is_dropped_and_work_is_never_asked_of_who_has_no_script() -> None:
    for template in public_templates():
        assert "captcha" not in template.read_text("utf-8").lower()
    shown_by(
        "10",
        "unit/test_proof_of_work.py::work_is_asked_for_under_load_only",
        "unit/test_sms.py::an_empty_text_is_silence_and_kept",
        "integration/test_sms_channel.py::whatever_is_written_is_stored_and_answered_politely",
        "browser/test_under_load.py::a_script_of_the_page_does_the_work_and_it_counts",
        "browser/test_under_load.py::without_a_script_nothing_is_asked_for_and_the_report_is_taken",
    )


def test_rule_11_what_a_safe_home_is_and_where_places_are_few_is_said() -> None:
    said: dict[Any, str] = {
        language: " ".join(str(one.text) for one in list_readings(language))
        for language in ("bn", "en")
    }
    assert normalise("আদালতের আদেশ লাগে") in normalise(said["bn"])
    assert normalise("ছেলেদের জন্য থাকার জায়গা কম") in normalise(said["bn"])
    assert "court must order it" in said["en"]
    assert "few places for boys" in said["en"]
    shown_by("11")


def test_rule_12_staff_learned_first_and_every_read_of_a_person_is_an_event() -> None:
    shown_by(
        "12",
        "unit/test_learning.py::who_signed_in_sees_nothing_of_a_case_before_the_module",
        "browser/test_learning.py::nobody_sees_the_desk_before_the_module_and_it_needs_no_script",
        "integration/test_disclosure.py::staff_read_a_person_with_a_reason_and_it_is_an_event",
        "integration/test_search.py::that_it_was_found_is_an_event_and_says_nothing_of_what_was_looked_for",
        "integration/test_attachments.py::it_opens_blurred_to_one_role_with_an_event_and_so_often",
    )


def test_rule_28_a_picture_is_asked_for_with_care_and_opens_blurred() -> None:
    for name in ("receipt.html", "back.html"):
        text = (PUBLIC / name).read_text("utf-8")
        asked = text.index("no picture of a child's body")
        assert asked < text.index('type="file"'), "before anything is chosen"
    for template in (ROOT / "services").glob("*/pages/*/templates/**/*.html"):
        if template.name != "poster.html":  # our own first page's address, as a code to scan
            assert "<img" not in template.read_text("utf-8"), f"{template}: nothing shown unasked"
    shown_by(
        "28",
        "unit/test_media.py::a_file_is_what_its_bytes_say",
        "unit/test_media.py::a_copy_holds_pixels_and_nothing_else",
        "unit/test_media.py::a_blurred_copy_tells_no_more_than_its_points",
        "integration/test_attachments.py::the_original_takes_two_persons_and_a_supervisor",
        "integration/test_attachments.py::what_was_flagged_nobody_opens_and_a_supervisor_decides",
    )
