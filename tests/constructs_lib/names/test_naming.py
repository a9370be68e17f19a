import pytest
from hypothesis import given
from hypothesis import strategies as st

from constructs_lib.names import naming

STAGES = st.from_regex(naming.STAGE_PATTERN, fullmatch=True)
WORKLOADS = st.from_regex(naming.WORKLOAD_PATTERN, fullmatch=True)


def test_starts_run_time_names_with_stage_and_workload() -> None:
    assert naming.runtime_prefix("dev", "flight_delays") == "dev-flight-delays-"
    assert naming.runtime_name("dev", "flight_delays", "train", "0a1b-1") == "dev-flight-delays-train-0a1b-1"


@pytest.mark.parametrize("stage", ["", "d", "Dev", "development", "1dev", "de-v"])
def test_refuses_a_stage_that_cannot_start_a_name(stage: str) -> None:
    with pytest.raises(ValueError, match="stage name must match"):
        naming.runtime_prefix(stage, "flight_delays")


@pytest.mark.parametrize("workload", ["", "ab", "Flights", "flight-delays", "a" * 21, "2flights"])
def test_refuses_a_workload_that_cannot_start_a_name(workload: str) -> None:
    with pytest.raises(ValueError, match="workload name must match"):
        naming.runtime_prefix("dev", workload)


def test_refuses_a_name_that_is_too_long_and_says_how_long_it_is() -> None:
    with pytest.raises(ValueError, match=r"parts \('x{60}',\) must have at most 63 characters, got 78"):
        naming.runtime_name("dev", "flight_delays", "x" * 60)


@pytest.mark.parametrize("part", ["under_score", "ends-", "", "dot.ted", "späť"])
def test_refuses_a_part_that_some_service_refuses(part: str) -> None:
    with pytest.raises(ValueError, match="must match"):
        naming.runtime_name("dev", "flight_delays", part)


def test_refuses_a_name_without_parts() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        naming.runtime_name("dev", "flight_delays")


@given(STAGES, WORKLOADS)
def test_prefixes_fit_every_stage_and_workload_or_say_why(stage: str, workload: str) -> None:
    prefix = naming.runtime_prefix(stage, workload)
    assert prefix.endswith("-")
    assert len(prefix) <= 30
    assert "_" not in prefix


def test_names_databases_and_tables() -> None:
    assert naming.database_name("dev", "curated") == "dev_curated"
    assert naming.table_name("flight_delays", "features") == "flight_delays_features"
    with pytest.raises(ValueError, match="zone must be one of landing, validated, quarantine, curated, got: 'gold'"):
        naming.database_name("dev", "gold")


def test_spells_ids_of_stacks() -> None:
    assert naming.pascal_case("flight_delays") == "FlightDelays"
