"""The folds' results as one: mean, standard deviation, t-tests, and a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..evaluate.outcome import markdown_table
from .t_test import METRICS, one_sample_t_test


def summarise(documents: Sequence[Mapping[str, Any]], references: Mapping[str, float]) -> dict[str, Any]:
    """The results of all folds, as `radiodino.train.evaluate.outcome.write_outcome` takes them.

    Args:
        documents: of each fold's classifier, see `radiodino.train.classify.document`.
        references: metrics to be tested against a value.

    Returns:
        ``folds``: a row each; ``metrics``: by name ``mean`` and ``sd`` (n - 1 in its denominator; None for one fold),
        None where the test images leave the metric undefined; ``t_tests``: by name, see `t_test.TTest`;
        ``best_fold``: that with the lowest validation loss.

    Raises:
        InputError: where a metric is to be tested over fewer than two folds.
    """
    rows = [
        {name: document[name] for name in ("fold", "epochs", "best_epoch", "val_loss")} | document["metrics"]
        for document in documents
    ]
    values = {name: [row[name] for row in rows] for name in METRICS}
    return {
        "folds": rows,
        "metrics": {
            name: None if None in found else {"mean": statistics.fmean(found), "sd": _deviation(found)}
            for name, found in values.items()
        },
        "t_tests": {name: asdict(one_sample_t_test(values[name], reference)) for name, reference in references.items()},
        "best_fold": min(rows, key=lambda row: row["val_loss"])["fold"],
    }


def table(results: Mapping[str, Any]) -> str:
    """What `summarise` found, in per cent as the paper's tables 4 to 9, with the t-tests below."""
    rows = [
        [
            row["fold"],
            f"{row['best_epoch']} of {row['epochs']}",
            f"{row['val_loss']:.4f}",
            *map(_percent, _metrics(row)),
        ]
        for row in results["folds"]
    ]
    means = [results["metrics"][name] for name in METRICS]
    rows.append(["mean ± sd", "", "", *("undefined" if found is None else _mean(found) for found in means)])
    names = [{"f1": "F1", "auc": "AUC"}.get(name, name.capitalize()) for name in METRICS]
    text = markdown_table(["Fold", "Best epoch", "Validation loss", *(f"{name} (%)" for name in names)], rows)
    if not results["t_tests"]:
        return text
    tests = [
        [name, *map(_percent, (test["reference"], test["mean"])), _number(test["t"], ".3f"), test["df"],
         _number(test["p"], ".2g")]
        for name, test in results["t_tests"].items()
    ]  # fmt: skip
    columns = ["Two-sided one-sample t-test", "Reference (%)", "Mean (%)", "t", "df", "p"]
    note = "Folds share training images and all test images, so they are not independent: p is too small."
    return f"{text}\n\n{markdown_table(columns, tests)}\n\n{note}"


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _metrics(row: Mapping[str, Any]) -> list[float | None]:
    return [row[name] for name in METRICS]


def _percent(value: float | None) -> str:
    return _number(None if value is None else 100 * value, ".2f")


def _mean(found: Mapping[str, float | None]) -> str:
    return _percent(found["mean"]) + ("" if found["sd"] is None else f" ± {_percent(found['sd'])}")


def _number(value: float | None, form: str) -> str:
    return "undefined" if value is None else format(value, form)
