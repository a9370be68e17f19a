"""Rules about rows that look at more than the row: CustomSql that selects rows, and ReferentialIntegrity.

A row keeps CustomSql when the statement gives it back, compared by the columns that the statement selects; it keeps
ReferentialIntegrity when its values are in the reference, a missing value being in none. So does AWS Glue label rows
(https://docs.aws.amazon.com/glue/latest/dg/dqdl-rule-types-CustomSql.html). All rules of a source look at the same
rows: those that are valid by the other rules.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from gapless_glue.contract import Source
from gapless_glue.dqdl import compare
from gapless_glue.dqdl.language import Rule
from gapless_glue.dqdl.rows import BadRuleError, quoted
from gapless_glue.errors import BadRules
from gapless_glue.rules import PRIMARY, SourceRule, reference_of
from gapless_glue.typed import REASONS, joined_reasons, valid_rows


def judge_around(
    judged: DataFrame, source: Source, rules: Sequence[SourceRule], others: Mapping[str, DataFrame]
) -> DataFrame:
    """Adds reasons to rows that were valid until now; rows that were refused keep their reasons.

    Args:
        judged: Rows as ``typed.judge`` gives them.
        source: What they are.
        rules: Rules of this source; those that look at single rows only are left out.
        others: Other sources that rules name → their valid rows.

    Raises:
        BadRules: A statement cannot be read, or does not select columns of the source.
    """
    wanted = [rule for rule in rules if rule.looks_around]
    if not wanted:
        return judged
    tables = {**others, source.name: valid_rows(judged, source)}
    reasons = []
    for place, rule in enumerate(wanted):
        mark = f"_kept_{place}"
        judged = judged.join(*_matching(rule, source, tables, mark), "left")
        reasons.append(F.when(F.col(mark).isNull(), F.lit(f"rule {rule.text}")))
    found = F.coalesce(F.col(REASONS), joined_reasons(reasons))
    columns = [name for name in judged.columns if name != REASONS and not name.startswith(("_kept_", "_other_kept_"))]
    return judged.select(*columns, found.alias(REASONS))


def _matching(rule: SourceRule, source: Source, tables: Mapping[str, DataFrame], mark: str) -> tuple[DataFrame, Column]:
    """The values that keep a rule, each once and marked, and when a row of the source has them."""
    if not isinstance(rule.rule, Rule):
        raise BadRules(f"source {source.name}: {rule.text}: only single rules look around")
    if rule.rule.type == "ReferentialIntegrity":
        alias, own, other = reference_of(rule.rule)
        known = tables[source.name if alias == PRIMARY else alias].select(*[F.col(quoted(name)) for name in other])
        return _marked(known, mark), _same(own, mark, missing_too=False)
    try:
        given = compare.answer(tables, source.name, rule.rule.parameters[0])
        own = compare.checked_columns(tables[source.name], given.columns, "the rule's own source")
    except (BadRuleError, PySparkException) as error:
        line = next(iter(str(error).strip().splitlines()), "")
        raise BadRules(f"rules.dqdl: source {source.name}: {rule.text}: {line}") from error
    return _marked(given, mark), _same(own, mark, missing_too=True)


def _marked(values: DataFrame, mark: str) -> DataFrame:
    named = values.toDF(*[f"_other{mark}_{place}" for place in range(len(values.columns))])
    return named.distinct().withColumn(mark, F.lit(True))


def _same(own: Sequence[str], mark: str, *, missing_too: bool) -> Column:
    pairs = [(F.col(f"t_{name}"), F.col(f"_other{mark}_{place}")) for place, name in enumerate(own)]
    return reduce(operator.and_, [left.eqNullSafe(right) if missing_too else left == right for left, right in pairs])
