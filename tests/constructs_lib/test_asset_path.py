import pytest

from constructs_lib.asset_path import asset_path


def test_finds_run_time_code_of_the_checkout() -> None:
    assert asset_path("lambda", "judge_model", "handler.py").is_file()
    assert asset_path("lambda").is_absolute()


def test_refuses_code_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match="no run-time code lambda/no_such_function under"):
        asset_path("lambda", "no_such_function")
