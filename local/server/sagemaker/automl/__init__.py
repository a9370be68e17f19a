"""AutoML jobs on tables: a small search over models of scikit-learn and XGBoost."""
