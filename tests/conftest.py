"""Which tests stay together when the suite is spread over processes, and which come first."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from functools import cache

import botocore.session
import pytest
from xdist.scheduler import LoadScopeScheduling

END_TO_END = "tests/end_to_end/"
LIVE, EVERYTHING = "live", "everything"
"""Fixtures of the end-to-end tests that deploy a whole platform; each is to be deployed in one process only."""

OF_EVERYTHING = frozenset(
    f"{END_TO_END}test_{name}.py"
    for name in (
        "batch_scoring",
        "datasets",
        "experiments",
        "ingestion",
        "loan_approval",
        "monitoring",
        "other_models",
        "own_code",
        "prediction_api",
        "registry",
        "relabelling",
        "retraining",
        "score_rollback",
        "second_project",
        "training_guard",
        "tuning",
    )
)
"""The modules that need the second platform; all others of the end-to-end tests need the first, or have their own."""

OF_THEIR_OWN = frozenset({f"{END_TO_END}test_segments.py"})
"""The modules that deploy a platform that no other module needs."""


SLOW = tuple(
    f"tests/{name}"
    for name in (
        "end_to_end/test_bad_endpoints.py",
        "end_to_end/test_datasets.py::test_a_grant_of_the_function_that_is_taken_away_is_missed",
        "end_to_end/test_experiments.py::test_a_grant_of_the_function_that_is_taken_away_is_missed",
        "end_to_end/test_other_models.py",
        "end_to_end/test_own_code.py",
        "end_to_end/test_relabelling.py::test_answers_change_rows_that_earlier_batches_brought_where_datasets_accumulate",
        "end_to_end/test_removed_grants.py",
        "end_to_end/test_retraining.py",
        "end_to_end/test_score_rollback.py",
        "end_to_end/test_segments.py",
        "end_to_end/test_tuning.py",
        "local/sagemaker/rollouts/test_experiments.py",
        "local/sagemaker/rollouts/test_rare_rollouts.py",
        "local/sagemaker/rollouts/test_serving_modes.py",
        "local/story/test_kinds.py::test_a_model_of_each_kind_learns_answers_and_is_judged[trees]",
        "local/story/test_kinds.py::test_a_yes_or_no_is_answered_by_probabilities[votes]",
        "local/story/test_live.py",
        "local/story/test_told_kinds.py::test_each_kind_follows_a_change_and_gives_the_same_document_again",
    )
)
"""Modules and tests marked ``slow``: variations of a path that others walk; ``make test-all`` runs them as well."""

LONG = tuple(
    f"tests/{name}"
    for name in (
        "local/sagemaker/rollouts/",
        "test_whole_platform.py",
        "local/sagemaker/test_mlflow.py",
        "local/sagemaker/test_tuning_jobs.py",
        "local/test_promotion_machine.py",
        "local/test_two_accounts.py",
        "stacks/test_promotion.py",
        "local/cli/test_up_and_down.py",
        "local/cli/test_destroy.py",
        "local/server/test_machine_tasks.py",
        "local/server/test_codedeploy.py",
        "local/story/",
        "test_wheel.py",
    )
)
"""Modules that come right after the end-to-end tests, so that no process is left with one of them at the end."""


class TogetherByPlatform(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives whole modules to a process, and all modules that need one platform to the same."""

    def _split_scope(self, nodeid: str) -> str:
        return platform_of(module_of(nodeid)) or module_of(nodeid)


def pytest_configure() -> None:
    """Give the main module of a process of xdist a file: PySpark takes one without for a run of its own doctests.

    And have descriptions of AWS's services read once per process, instead of once per session of botocore: each test
    that moto gives an account of its own has a session of its own.
    """
    main = sys.modules["__main__"]
    if not hasattr(main, "__file__"):
        main.__file__ = __file__
    botocore.session.create_loader = cache(botocore.session.create_loader)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> TogetherByPlatform:
    """Have tests handed out like this, whatever ``--dist`` says."""
    return TogetherByPlatform(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is slow, before tests are chosen by their marks."""
    if item.nodeid.startswith(SLOW):
        item.add_marker("slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest begin first: the end-to-end tests; and see that their modules are told apart rightly."""
    check_platforms(items)
    items.sort(key=lambda item: (not item.nodeid.startswith(END_TO_END), not item.nodeid.startswith(LONG)))


def check_platforms(items: Iterable[pytest.Item]) -> None:
    """Look whether each module needs the platform that it is said to need.

    Raises:
        UsageError: It needs the other one.
    """
    needed: dict[str, set[str]] = defaultdict(set)
    for item in items:
        needed[module_of(item.nodeid)] |= {LIVE, EVERYTHING} & set(getattr(item, "fixturenames", ()))
    for module, platforms in needed.items():
        said = platform_of(module)
        if module.startswith(END_TO_END) and platforms - {said}:
            raise pytest.UsageError(f"{module} needs {', '.join(sorted(platforms))}; said is {said or 'its own'}")


def platform_of(module: str) -> str | None:
    """The platform that a module shares with others of the end-to-end tests; none for other modules."""
    if not module.startswith(END_TO_END) or module in OF_THEIR_OWN:
        return None
    return EVERYTHING if module in OF_EVERYTHING else LIVE


def module_of(nodeid: str) -> str:
    """The file that a test is in, seen from the root of the project."""
    return nodeid.partition("::")[0]
