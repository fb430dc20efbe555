"""All named faults, and the tests of the integration suite that show the rest."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults import outside, processes, stores, streams, wires

FAULTS = (
    *processes.FAULTS,
    *wires.FAULTS,
    *streams.FAULTS,
    *outside.FAULTS,
    *stores.FAULTS,
)


@dataclass(frozen=True, slots=True)
class Proved:
    """A fault that a test of its own shows; the table runs that test."""

    name: str
    covers: str
    test: str


def _in(module: str, name: str) -> str:
    return f"tests/integration/test_{module}.py::test_{name}"


PROVED = (
    Proved(
        "a refused batch is not overtaken by the next",
        "a refused batch before an accepted one",
        _in("relay", "a_refused_batch_is_not_overtaken_by_the_next"),
    ),
    Proved(
        "a relay's holder killed and frozen, a standby there",
        "a relay's lock holder frozen",
        _in("relay", "a_standby_takes_over_from_a_killed_and_from_a_frozen_holder"),
    ),
    Proved(
        "a new subscriber on an old log: 0 sends",
        "a new group on an old log",
        _in("notification", "the_past_is_not_replayed_at_a_subscriber"),
    ),
    Proved(
        "null and undecodable headers within one batch",
        "null and non-UTF-8 headers",
        _in("consumer", "null_and_undecodable_headers_lose_nothing_of_the_batch"),
    ),
    Proved(
        "a header name that is no UTF-8",
        "null and non-UTF-8 headers",
        _in("consumer", "a_header_name_that_is_no_utf_8_loses_nothing_of_the_batch"),
    ),
    Proved(
        "poison on every stream, parked once a service",
        "poison of 15 kinds at 1 %",
        _in("outages", "poison_on_every_stream_is_parked_once_a_service_and_the_rest_flows"),
    ),
    Proved(
        "a second member joins in mid-batch",
        "rebalance storms",
        _in("consumer", "a_second_member_that_joins_in_mid_batch_doubles_and_inverts_nothing"),
    ),
    Proved(
        "a handler slower than the poll interval",
        "handler slower than the poll interval",
        _in(
            "consumer", "a_handler_slower_than_the_poll_interval_loses_doubles_and_inverts_nothing"
        ),
    ),
    Proved(
        "partitions go to another process and back",
        "rebalance storms",
        _in("tap", "partitions_that_go_to_another_process_and_back_lose_and_double_nothing"),
    ),
    Proved(
        "the database gone for 30 s: nothing parked, nothing hot",
        "PostgreSQL black-holed",
        _in("consumer", "a_database_gone_for_thirty_seconds_parks_nothing_and_runs_nothing_hot"),
    ),
    Proved(
        "a process started while Kafka is down",
        "brokers killed, frozen, restarted (one)",
        _in(
            "kernel_service",
            "a_process_that_starts_while_kafka_is_down_serves_at_once_and_joins_later",
        ),
    ),
    Proved(
        "a record that kills three processes is parked",
        "poison of 15 kinds at 1 %",
        _in(
            "kernel_service",
            "a_record_that_kills_three_processes_is_parked_and_its_neighbours_live",
        ),
    ),
    Proved(
        "timers set by a clock that ran ahead",
        "clock jumps",
        _in("timers", "what_a_clock_ahead_set_fires_at_once_and_an_hour_that_is_meant_does_not"),
    ),
    Proved(
        "the history killed at every step",
        "kill -9 of every process",
        _in("audit_crashes", "a_kill_at_every_step_makes_no_fork_no_gap_and_each_leaf_once"),
    ),
    Proved(
        "a process that dies anywhere sends no text twice",
        "gateways misbehaving",
        _in("sms_notices", "a_process_that_dies_anywhere_sends_nothing_twice"),
    ),
    Proved(
        "hostile SMS gateways get each notice at most once",
        "gateways misbehaving",
        _in("sms_notices", "a_hostile_gateway_gets_each_notice_at_most_once"),
    ),
    Proved(
        "hostile receivers get it again with the same id",
        "gateways misbehaving",
        _in("notification", "hostile_receivers_get_it_again_with_the_same_id"),
    ),
    Proved(
        "a collector that hangs holds no stop",
        "collector down",
        _in("alerts", "a_collector_that_hangs_holds_no_stop"),
    ),
    Proved(
        "a backup under load restored, all else lost",
        "everything lost but a backup",
        "tests/faults/test_drill.py"
        "::test_a_backup_under_load_is_restored_on_a_machine_that_lost_everything_else",
    ),
    Proved(
        "a release rolled out under load",
        "a new release under load",
        "tests/faults/test_rolling.py::test_a_release_rolled_out_under_load_loses_nothing",
    ),
)
