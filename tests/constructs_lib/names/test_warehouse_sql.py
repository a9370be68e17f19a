from constructs_lib.names.warehouse_sql import load_statements, prepare_statements, unload_statement

COLUMNS = {"carrier": "string", "distance": "int", "tailnum": "string", "_event_time": "timestamp"}
ROLE = "arn:aws:iam::111122223333:role/warehouse"


def loading(columns: dict[str, str] | None = None, sensitive: tuple[str, ...] = ("tailnum",)) -> list[str]:
    return load_statements(
        "flights_features",
        columns if columns is not None else COLUMNS,
        sensitive,
        location="s3://curated/flights/v1/",
        version="v1",
        role_arn=ROLE,
    )


def test_people_see_the_lake_through_the_warehouse_with_their_own_rights() -> None:
    (schema,) = [
        each for each in prepare_statements({"curated": "dev_curated"}, "1", "eu-west-1") if "EXTERNAL" in each
    ]
    assert schema == (
        "CREATE EXTERNAL SCHEMA IF NOT EXISTS lake_curated FROM DATA CATALOG DATABASE 'dev_curated' "
        "IAM_ROLE 'SESSION' CATALOG_ID '1' REGION 'eu-west-1'"
    )


def test_only_personas_that_read_rows_get_a_role_in_the_warehouse() -> None:
    statements = prepare_statements({"curated": "dev_curated"}, "1", "eu-west-1")
    made = [each.removeprefix("CREATE ROLE ") for each in statements if each.startswith("CREATE ROLE")]
    assert made == ["data_engineer", "data_scientist", "ml_engineer"]
    assert not any("auditor" in each for each in statements)


def test_a_version_is_deleted_before_it_is_inserted_so_that_loading_twice_is_loading_once() -> None:
    kinds = [each.split()[0] for each in loading()]
    assert kinds.index("COPY") < kinds.index("DELETE") < kinds.index("INSERT")
    assert "WHERE version = 'v1'" in loading()[kinds.index("DELETE")]


def test_copies_the_files_of_the_version_with_the_warehouse_s_own_role() -> None:
    assert f"COPY incoming FROM 's3://curated/flights/v1/' IAM_ROLE '{ROLE}' FORMAT AS PARQUET" in loading()


def test_a_sensitive_column_is_for_those_who_may_see_restricted_data() -> None:
    grants = [each for each in loading() if each.startswith("GRANT")]
    assert "GRANT SELECT ON loaded.flights_features TO ROLE data_engineer" in grants
    others = [each for each in grants if "data_engineer" not in each]
    assert len(others) == 2
    assert all("tailnum" not in each and '"carrier"' in each for each in others)


def test_without_sensitive_columns_everybody_who_reads_reads_all() -> None:
    grants = [each for each in loading(sensitive=()) if each.startswith("GRANT")]
    assert all(each.startswith("GRANT SELECT ON ") for each in grants)


def test_other_columns_are_another_table_behind_the_same_view() -> None:
    before, after = loading(), loading({**COLUMNS, "seats": "int"})
    assert before[0].split("(")[0] != after[0].split("(")[0]
    assert "DROP VIEW IF EXISTS loaded.flights_features" in before
    assert "DROP VIEW IF EXISTS loaded.flights_features" in after


def test_types_are_the_warehouse_s() -> None:
    (made, *_) = loading()
    assert '"carrier" varchar(65535), "distance" integer, "tailnum" varchar(65535), "_event_time" timestamp' in made


def test_an_export_replaces_the_one_before_and_is_encrypted() -> None:
    statement = unload_statement("SELECT 'it''s' ; ", location="s3://c/e/", role_arn=ROLE, key_arn="key")
    assert statement == (
        f"UNLOAD ('SELECT ''it''''s''') TO 's3://c/e/' IAM_ROLE '{ROLE}' "
        "FORMAT AS PARQUET CLEANPATH KMS_KEY_ID 'key' ENCRYPTED"
    )
