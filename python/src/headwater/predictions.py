"""Predictions, explanations, and how predictions turned out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ._frames import Rows, columns_of
from ._transport import Transport
from ._values import to_json
from .table import Table

_LARGEST_BATCH = 10_000


@dataclass(frozen=True)
class Prediction:
    """The answer of a model to one row."""

    prediction: str | float
    """The class, or the value of a regression."""
    probabilities: Mapping[str, float] | None
    """By class; where they were requested."""
    model: str
    version: int
    variant: str
    """`production`, `canary`, or one of an experiment."""
    prediction_id: str
    """Names this answer in feedback."""


@dataclass(frozen=True)
class Contributions:
    """What a model's inputs have added to one of its outputs."""

    output: str
    base_value: float
    """Of the output without any input."""
    value: float
    contributions: Mapping[str, float | None]


@dataclass(frozen=True)
class Explanation:
    """What each input has added to a prediction."""

    method: str
    """`tree_shap` or `kernel_shap`."""
    scale: str
    """`log_odds`, `probability`, `margin` or `value`."""
    outputs: tuple[Contributions, ...]

    def to_table(self) -> Table:
        """Return a row for each output and input, the largest contribution first."""
        rows = [
            (output.output, name, value)
            for output in self.outputs
            for name, value in sorted(output.contributions.items(), key=lambda each: -abs(each[1] or 0))
        ]
        return Table(
            {
                "output": ("string", [row[0] for row in rows]),
                "input": ("string", [row[1] for row in rows]),
                "contribution": ("double", [row[2] for row in rows]),
            },
            title=f"contributions ({self.scale})",
        )

    def _repr_html_(self) -> str:
        return "".join(self._bars(each) for each in self.outputs)

    def _bars(self, output: Contributions) -> str:
        most = max((abs(each or 0) for each in output.contributions.values()), default=0) or 1
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td style='text-align:right'>{value or 0:+.4g}</td>"
            f"<td><div style='width:{120 * abs(value or 0) / most:.0f}px;height:.8em;"
            f"background:{'#c0392b' if (value or 0) > 0 else '#2c7fb8'}'></div></td></tr>"
            for name, value in sorted(output.contributions.items(), key=lambda each: -abs(each[1] or 0))
        )
        caption = f"{output.output}: {output.base_value:.4g} + inputs = {output.value:.4g} ({self.scale})"
        return f"<table><caption style='text-align:left'>{escape(caption)}</caption><tbody>{rows}</tbody></table>"


class PredictionsClient:
    """Requests predictions from serving."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def predict(
        self,
        model: str | None = None,
        *,
        entity: str | None = None,
        features: Mapping[str, Any] | None = None,
        probabilities: bool = False,
    ) -> Prediction:
        """Score one row.

        :param model: may be left out where one model is served
        :param entity: whose features the platform looks up
        :param features: all inputs; or, beside an entity, those that replace what is looked up
        :raises RequestFailedError: with the fields that the signature refuses, or for an entity without features
        """
        body = _row(model, entity, features)
        answer = self._transport.post("/predict", {**body, "return_probabilities": probabilities})
        return Prediction(
            answer["prediction"],
            answer.get("probabilities"),
            answer["model_name"],
            answer["model_version"],
            answer["variant"],
            answer["prediction_id"],
        )

    def predict_many(
        self,
        model: str | None = None,
        *,
        entities: Sequence[str] | None = None,
        rows: Rows | None = None,
        probabilities: bool = False,
    ) -> Table:
        """Score many rows, 10,000 at a time: a row each with the prediction, in the order of entities or rows.

        :param entities: ids whose features the platform looks up; or give `rows` with all inputs
        """
        if (entities is None) == (rows is None):
            raise TypeError("predict_many: give entities or rows, and not both")
        given: list[Any] = list(entities) if entities is not None else _instances(rows)
        name = "entity_ids" if entities is not None else "instances"
        found: dict[str, tuple[str, list[Any]]] = {"entity": ("string", given)} if entities is not None else {}
        found |= {"prediction": ("", []), "model_version": ("long", [])}
        found |= {"prediction_id": ("string", []), "row_index": ("long", [])}
        for start in range(0, len(given), _LARGEST_BATCH):
            body: dict[str, Any] = {name: given[start : start + _LARGEST_BATCH]}
            if model is not None:
                body["model_name"] = model
            answer = self._transport.post("/predict/batch", {**body, "return_probabilities": probabilities})
            predictions = answer["predictions"]
            found["prediction"][1].extend(predictions)
            found["model_version"][1].extend([answer["model_version"]] * len(predictions))
            found["prediction_id"][1].extend([answer["prediction_id"]] * len(predictions))
            found["row_index"][1].extend(range(len(predictions)))
            for each in answer.get("probabilities") or ():
                for label, value in each.items():
                    found.setdefault(f"probability_{label}", ("double", []))[1].append(value)
        return Table(found, title=model or "predictions")

    def explain(
        self,
        model: str | None = None,
        *,
        entity: str | None = None,
        features: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Return what each input has added to the prediction of a row."""
        answer = self._transport.post("/explain", _row(model, entity, features))
        outputs = tuple(
            Contributions(each["output"], each["base_value"], each["value"], each["contributions"])
            for each in answer["outputs"]
        )
        return Explanation(answer["method"], answer["scale"], outputs)

    def feedback(
        self,
        prediction_id: str,
        *,
        label: str | float | bool | None = None,
        value: float | None = None,
        row_index: int = 0,
    ) -> None:
        """Report how a prediction turned out; the newest report of a prediction counts.

        :param label: what it should have been; or give what came of it as `value`
        :param row_index: of a prediction of many rows, from 0
        """
        outcome = {"label": to_json(label)} if label is not None else {"value": value}
        self._transport.post("/feedback", {"prediction_id": prediction_id, "row_index": row_index, **outcome})

    def feedback_many(self, reports: Rows) -> int:
        """Report how predictions turned out, and return how many were accepted.

        :param reports: with `prediction_id`, `label` or `value`, and `row_index` where it is of many rows
        """
        columns = columns_of(reports, of="feedback")
        rows = _instances([dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)])
        accepted = 0
        for start in range(0, len(rows), _LARGEST_BATCH):
            body = {"feedback": rows[start : start + _LARGEST_BATCH]}
            accepted += self._transport.post("/feedback", body)["accepted"]
        return accepted


def _row(model: str | None, entity: str | None, features: Mapping[str, Any] | None) -> dict[str, Any]:
    row = {
        "model_name": model,
        "entity_id": entity,
        "features": None if features is None else to_json(features),
    }
    return {name: value for name, value in row.items() if value is not None}


def _instances(rows: Rows | None) -> list[dict[str, Any]]:
    columns = columns_of(rows if rows is not None else [], of="rows")
    return [
        {name: to_json(value) for name, value in zip(columns, values, strict=True)}
        for values in zip(*columns.values(), strict=True)
    ]
