"""Asks NannyML or Evidently about the samples of :mod:`drift_cases`, and keeps them in ``drift_values.json``.

They need other versions of pandas than the platform, so each is asked in an environment of its own, from the
project's folder::

    uv run --no-project --python 3.11 --with nannyml==0.13.1 --with statsmodels==0.15.0 --with 'pandas<3' \\
        python -m tests.sagemaker_jobs.references.write_drift_values nannyml
    uv run --no-project --python 3.11 --with evidently==0.7.23 --with 'pandas<3' \\
        python -m tests.sagemaker_jobs.references.write_drift_values evidently
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from typing import Any

from tests.sagemaker_jobs.references.drift_cases import NUMBERS, TEXTS, VALUES, answers

DECISION = 0.5


def nannyml() -> dict[str, Any]:
    """Univariate drift methods and performance metrics of NannyML."""
    pandas = importlib.import_module("pandas")
    methods = importlib.import_module("nannyml.drift.univariate.methods")
    library = importlib.import_module("nannyml")

    def asked(method: str, kind: str, before: Any, now: Any) -> float:
        made = methods.MethodFactory.create(
            method,
            methods.FeatureType(kind),
            chunker=library.chunk.DefaultChunker(),
            threshold=library.thresholds.ConstantThreshold(upper=0.1),
        )
        return float(made.fit(pandas.Series(before, name="x")).calculate(pandas.Series(now)))

    numbers = {
        name: {
            method: asked(method, "continuous", case.before, case.now)
            for method in ("kolmogorov_smirnov", "wasserstein")
        }
        for name, case in NUMBERS.items()
    }
    texts = {
        name: {
            method: asked(method, "categorical", case.before, case.now)
            for method in ("jensen_shannon", "l_infinity", "chi2")
        }
        for name, case in TEXTS.items()
    }
    given = answers()
    frame = pandas.DataFrame(
        {
            "truth": given.truth.astype(int),
            "probability": given.probabilities,
            "label": (given.probabilities >= DECISION).astype(int),
            "value": given.values,
            "predicted": given.predicted,
        }
    )

    def performance(problem: str, names: list[str], **columns: str) -> dict[str, float]:
        calculator = library.PerformanceCalculator(
            problem_type=problem, metrics=names, chunk_size=len(frame), **columns
        )
        table = calculator.fit(frame).calculate(frame).to_df()
        return {
            name: float(table.loc[table["chunk", "period"] == "analysis", (name, "value")].iloc[0]) for name in names
        }

    binary = performance(
        "classification_binary",
        ["roc_auc", "average_precision", "accuracy", "precision", "recall", "f1"],
        y_pred_proba="probability",
        y_pred="label",
        y_true="truth",
    )
    regression = performance("regression", ["mae", "rmse", "mape"], y_pred="predicted", y_true="value")
    return {"numbers": numbers, "texts": texts, "binary": binary, "regression": regression}


def evidently() -> dict[str, Any]:
    """Drift methods of Evidently."""
    pandas = importlib.import_module("pandas")
    tests = importlib.import_module("evidently.legacy.calculations.stattests")
    kinds = importlib.import_module("evidently.legacy.core").ColumnType

    def asked(method: str, kind: Any, before: Any, now: Any) -> float:
        test = getattr(tests, f"{method}_stat_test")
        return float(test(pandas.Series(before), pandas.Series(now), kind, 0.1).drift_score)

    numbers = {
        name: {"wasserstein": asked("wasserstein", kinds.Numerical, case.before, case.now)}
        for name, case in NUMBERS.items()
    }
    texts = {
        name: {method: asked(method, kinds.Categorical, case.before, case.now) for method in ("jensenshannon", "psi")}
        for name, case in TEXTS.items()
    }
    return {"numbers": numbers, "texts": texts}


if __name__ == "__main__":
    asked_of = sys.argv[1]
    kept = json.loads(VALUES.read_text()) if VALUES.exists() else {}
    found = {"nannyml": nannyml, "evidently": evidently}[asked_of]()
    kept[asked_of] = {"version": importlib.metadata.version(asked_of), **found}
    VALUES.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
