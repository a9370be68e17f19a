"""The rules of a workload as rulesets of AWS Glue Data Quality, on the tables that they are about."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from aws_cdk import CfnResource
from aws_cdk import aws_glue as glue
from constructs import Construct

from constructs_lib.asset_path import asset_path
from constructs_lib.names.workload_file import WorkloadFile

# The parser that judges in the job refuses at synthesis, too. It lies among the code that the constructs run.
sys.path.append(str(asset_path("glue_jobs")))

from gapless_glue.contract import parse_contract
from gapless_glue.dqdl.render import for_catalogue
from gapless_glue.errors import BadRules
from gapless_glue.rules import of_source, parse_rules

MAX_CHARACTERS = 65_536
"""Longest document that AWS Glue takes."""


class RulesError(ValueError):
    """Raised when ``rules.dqdl`` holds what the data job would refuse."""


@dataclass(frozen=True)
class CatalogueRules:
    """The rules of one source in the language of AWS Glue.

    Args:
        document: DQDL with one list of rules, at most ``MAX_CHARACTERS``.
        left_out: The rules that a ruleset of the Data Catalog cannot have: they compare with earlier results.
    """

    document: str
    left_out: tuple[str, ...] = ()


def catalogue_rules(text: str, workload: WorkloadFile) -> dict[str, CatalogueRules]:
    """Returns the rules of ``rules.dqdl`` for the Data Catalog: source → rules; a source without any has no entry.

    Raises:
        RulesError: The data job would refuse the text, or a source's rules are too long for AWS Glue; the message has
            the file's name, line and column, what stands there and what is allowed.
    """
    try:
        rules = parse_rules(text, parse_contract(workload.contract()))
    except BadRules as error:
        raise RulesError(str(error)) from error
    found = {}
    for source in workload.sources:
        document, left_out = for_catalogue([rule.rule for rule in of_source(rules, source)])
        if len(document) > MAX_CHARACTERS:
            raise RulesError(
                f"rules.dqdl: the rules of {source} have {len(document)} characters; allowed: {MAX_CHARACTERS}"
            )
        if document:
            found[source] = CatalogueRules(document, tuple(rule.text for rule in left_out))
    return found


class QualityRuleset(Construct):
    """Defines a ruleset of AWS Glue Data Quality on a table; it costs nothing until somebody runs it.

    Args:
        name: Physical name, unique in account and region.
        rules: What it holds.
        database: The database of the table.
        table: The table's name.
        made_before: The table, where it is made in the same stack.

    Attributes:
        name: Physical name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        rules: CatalogueRules,
        database: str,
        table: str,
        made_before: CfnResource | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        ruleset = glue.CfnDataQualityRuleset(
            self,
            "Ruleset",
            name=name,
            description=_description(table, rules),
            ruleset=rules.document,
            target_table=glue.CfnDataQualityRuleset.DataQualityTargetTableProperty(
                database_name=database, table_name=table
            ),
        )
        if made_before is not None:
            ruleset.add_resource_dependency(made_before)


def _description(table: str, rules: CatalogueRules) -> str:
    missing = len(rules.left_out)
    without = f", without {missing} that compare with earlier results" if missing else ""
    return f"Rules of {table}{without}; composites row by row"
