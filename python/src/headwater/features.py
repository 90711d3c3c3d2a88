"""Features: of now, of past times, by similarity; and rows that are computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from ._frames import Frame, Rows, beside, columns_of, is_missing, kind_of, required, rows_of
from ._transport import Json, Transport
from ._values import reader_of, time_text, to_json
from .errors import FieldProblem, InvalidFrameError, RequestFailedError
from .table import Table, html_table

_LARGEST_BATCH = 1_000
_LARGEST_HISTORY = 5_000
_UNPROCESSABLE = 422


@dataclass(frozen=True)
class RefusedRow:
    """A pushed row that was not written."""

    row: int
    """Its place among the rows that were pushed, from 0."""
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True)
class PushResult:
    """What became of pushed rows."""

    written: int
    refused: tuple[RefusedRow, ...] = ()

    def _repr_html_(self) -> str:
        rows = [(each.row, "; ".join(f"{one.field} {one.problem}" for one in each.problems)) for each in self.refused]
        title = f"{self.written} rows written, {len(self.refused)} refused"
        return html_table(title, [("row", ""), ("problems", "")], rows[:20], len(rows))


@dataclass(frozen=True)
class Why:
    """Why a feature has its value: formula, window, the events that count, and the value computed from them again."""

    answer: Mapping[str, Any] = field(repr=False)
    """All that the platform answers (docs/features.md)."""

    @property
    def equal(self) -> bool | None:
        """Whether the value that is served is the one that the events give; None where it cannot be compared."""
        return cast("bool | None", self.answer["equal"])

    @property
    def events(self) -> list[dict[str, Any]]:
        """The newest events of the window."""
        return cast("list[dict[str, Any]]", self.answer["events"]["items"])

    def _repr_html_(self) -> str:
        answer = self.answer
        served = (answer.get("served") or {}).get("value")
        again = (answer.get("recomputed") or {}).get("value")
        title = (
            f"{answer['view']} {answer['feature']} of {answer['user_id']} at {answer['at']}: "
            f"{answer['formula'].get('formula', '')} = {served} (computed again: {again})"
        )
        head = [("event_id", ""), ("time", ""), ("contribution", "")]
        rows = [tuple(each.get(name) for name, _ in head) for each in self.events[:20]]
        return html_table(title, head, rows, answer["events"]["total"])


class FeaturesClient:
    """Reads features from the feature API, and pushes rows."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._views: dict[str, dict[str, Any]] = {}
        self._services: dict[str, dict[str, Any]] = {}

    def views(self) -> Table:
        """Return the views that the caller may read, a row for each feature."""
        self._read_views()
        rows = [
            (name, view["entity"], each["name"], each["type"], each["description"], view["owner"])
            for name, view in self._views.items()
            for each in view["features"]
        ]
        names = ("view", "entity", "feature", "type", "description", "owner")
        return Table(
            {name: ("string", [row[at] for row in rows]) for at, name in enumerate(names)},
            title="feature views",
        )

    def services(self) -> Table:
        """Return the services that models read: columns, and the fields that a request brings."""
        self._read_services()
        rows = list(self._services.values())
        return Table(
            {
                "service": ("string", [each["service"] for each in rows]),
                "entity": ("string", [each["entity"] for each in rows]),
                "columns": ("array(string)", [[one["name"] for one in each["columns"]] for each in rows]),
                "request": ("array(string)", [[one["name"] for one in each["request"]] for each in rows]),
            },
            title="feature services",
        )

    def online(self, view: str, entities: Sequence[str], *, features: Sequence[str] | None = None) -> Table:
        """Return the newest values of entities, in their order: of an unknown entity, all are None.

        :param view: as `name@version`
        :param entities: ids, any number of them: 1,000 are read at a time
        :param features: which ones; all without it
        :raises RequestFailedError: for a view or a feature that does not exist
        """
        described = self._view(view)
        types = {each["name"]: each["type"] for each in described["features"]}
        found: dict[str, tuple[str, list[Any]]] = {"entity": ("string", list(entities))}
        query = {"view": view, "entity": described["entity"], "format": "columns"}
        computed: list[Any] = []
        for chunk in _chunks(list(entities), _LARGEST_BATCH):
            body: dict[str, Any] = {"entities": chunk}
            if features is not None:
                body["features"] = list(features)
            (read,) = self._transport.post("/features/batch", body, query=query)["views"]
            for at, name in enumerate(read["features"]):
                convert = reader_of(types[name])
                values = [None if row is None or row[at] is None else convert(row[at]) for row in read["values"]]
                found.setdefault(name, (types[name], []))[1].extend(values)
            computed.extend(None if each is None else reader_of("timestamp")(each) for each in read["computed_at"])
        found["computed_at"] = ("timestamp", computed)
        return Table(found, title=view)

    def vectors(self, service: str, rows: Rows | Sequence[str], *, entity: str = "entity") -> Table:
        """Return what a model that reads a service sees of entities now, in the order of the rows.

        :param service: as `name@version`; a view is a service too
        :param rows: ids, or rows with the column `entity` and the fields of a request that on-demand features need
        :param entity: column with the ids
        :raises RequestFailedError: for a row that lacks fields, or whose features cannot be computed
        """
        if kind_of(rows) == "rows" and all(isinstance(each, str) for each in rows):
            rows = [{entity: each} for each in rows]
        described = self._service(service)
        requested = self._requested(described, columns_of(cast("Rows", rows), of=service), entity=entity)
        columns: dict[str, tuple[str, list[Any]]] = {"entity": ("string", [each["entity"] for each in requested])}
        for column in described["columns"]:
            columns[column["name"]] = (column["type"], [])
        for chunk in _chunks(requested, _LARGEST_BATCH):
            for each in self._transport.post("/features/vector", {"service": service, "rows": chunk})["vectors"]:
                if "error" in each:
                    raise RequestFailedError(
                        f"{service} of {each['entity']}",
                        status=_UNPROCESSABLE,
                        code=each["error"]["code"],
                        detail=each["error"]["message"],
                    )
                values = each["features"] or {}
                for column in described["columns"]:
                    value = values.get(column["name"])
                    columns[column["name"]][1].append(None if value is None else reader_of(column["type"])(value))
        return Table(columns, title=service)

    def historical(
        self,
        labels: Frame,
        service: str,
        *,
        entity: str = "entity",
        timestamp: str = "event_time",
        known_at_timestamp: bool = False,
    ) -> Frame:
        """Return labels with the values that the features had at the time of each: a training set.

        The result is what `labels` is: a data frame of pandas, one of polars, or a list of dictionaries. Columns of
        `labels` that are called as the fields that on-demand features need are sent as these fields.

        :param labels: a row for each label, with an entity and a time
        :param service: as `name@version`; a view is a service too
        :param entity: column with the ids of entities
        :param timestamp: column with times; those without a zone are UTC
        :param known_at_timestamp: only values count that had been computed by then, as serving would have read them
        :raises InvalidFrameError: where a column is missing, a time is no time, or a feature is called as a column
        :raises RequestFailedError: for rows that the platform refuses; `rows.N` counts within parts of 5,000
        """
        described = self._service(service)
        columns = columns_of(labels, of="labels")
        taken = [each["name"] for each in described["columns"] if each["name"] in columns]
        if taken:
            raise InvalidFrameError(
                f"labels have columns called as features of {service}: {', '.join(taken)}; rename them"
            )
        times = [_time_of(each, at) for at, each in enumerate(required(columns, timestamp, of="labels"))]
        requested = self._requested(described, columns, entity=entity)
        for row, time in zip(requested, times, strict=True):
            row["timestamp"] = time
        found: dict[str, tuple[str, list[Any]]] = {each["name"]: (each["type"], []) for each in described["columns"]}
        for chunk in _chunks(requested, _LARGEST_HISTORY):
            body = {"service": service, "rows": chunk, "known_at_timestamp": known_at_timestamp}
            for column in self._transport.post("/features/historical", body)["columns"]:
                convert = reader_of(column["type"])
                found[column["name"]][1].extend(None if value is None else convert(value) for value in column["values"])
        return beside(labels, found)

    def search(  # noqa: PLR0913 - what a search is
        self,
        view: str,
        feature: str,
        *,
        entity: str | None = None,
        vector: Sequence[float] | None = None,
        metric: str = "cosine",
        k: int = 10,
    ) -> Table:
        """Return the entities whose newest embeddings are nearest, the nearest first.

        :param entity: whose neighbours; or give a `vector`
        :param metric: `cosine`, `l2` or `inner_product`: smaller distances are nearer
        :param k: number of neighbours, 1 to 1,000
        """
        near = {"entity": entity} if entity is not None else {"vector": to_json(vector)}
        body = {"view": view, "feature": feature, "metric": metric, "k": k, **near}
        found = self._transport.post("/features/search", body)["results"]
        kinds = {
            "entity": "string",
            "distance": "double",
            "event_time": "timestamp",
            "computed_at": "timestamp",
        }
        columns = {name: (kind, [reader_of(kind)(each[name]) for each in found]) for name, kind in kinds.items()}
        return Table(columns, title=f"{view} {feature}")

    def push(self, view: str, rows: Rows) -> PushResult:
        """Write rows of a view of mode push into both stores. A row that is sent again replaces itself.

        :param rows: each with the fields of the view's source: join keys, time, features
        """
        written, refused = 0, []
        for at, chunk in enumerate(_chunks([to_json(row) for row in rows_of(rows, of=view)], _LARGEST_BATCH)):
            answer = self._transport.post("/features/push", {"view": view, "rows": chunk})
            written += answer["written"]
            refused += [
                RefusedRow(
                    at * _LARGEST_BATCH + each["row"],
                    tuple(FieldProblem(one["field"], one["problem"]) for one in each["problems"]),
                )
                for each in answer["refused"]
            ]
        return PushResult(written, tuple(refused))

    def why(
        self,
        entity: str,
        feature: str,
        *,
        view: str | None = None,
        at: datetime | None = None,
        limit: int = 100,
    ) -> Why:
        """Explain the value of a feature: by which formula and from which events it comes.

        :param view: as `name@version`; the newest version without it
        :param at: as of this time; now without it
        :param limit: most events, 1 to 1,000
        """
        query = {"limit": str(limit)}
        if view is not None:
            query["view"] = view
        if at is not None:
            query["at"] = time_text(at)
        return Why(self._transport.get("why", entity, feature, query=query))

    def _view(self, name: str) -> dict[str, Any]:
        if name not in self._views:
            self._read_views()
        if name not in self._views:
            # The platform's own error names the views there are.
            self._transport.post("/features/batch", {"entities": ["-"]}, query={"view": name})
        return self._views[name]

    def _read_views(self) -> None:
        self._views = {each["id"]: each for each in self._transport.get("views")["views"]}

    def _service(self, name: str) -> dict[str, Any]:
        if name not in self._services:
            self._read_services()
        if name not in self._services:
            self._transport.post("/features/vector", {"service": name, "rows": [{"entity": "-"}]})
        return self._services[name]

    def _read_services(self) -> None:
        self._services = {each["service"]: each for each in self._transport.get("services")["services"]}

    def _requested(
        self, described: Mapping[str, Any], columns: Mapping[str, list[Any]], *, entity: str
    ) -> list[dict[str, Json]]:
        ids = required(columns, entity, of=described["service"])
        missing = next((at for at, each in enumerate(ids) if is_missing(each)), None)
        if missing is not None:
            raise InvalidFrameError(f'column "{entity}": row {missing} has no id of an entity')
        names = [each["name"] for each in described["request"] if each["name"] in columns]
        rows: list[dict[str, Json]] = [{"entity": str(each)} for each in ids]
        if names:
            for at, row in enumerate(rows):
                row["request"] = {name: to_json(columns[name][at]) for name in names}
        return rows


def _chunks(rows: list[Any], size: int) -> list[list[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _time_of(value: object, at: int) -> str:
    if isinstance(value, datetime) and not is_missing(value):
        return time_text(value)
    if isinstance(value, str):
        return value
    raise InvalidFrameError(f"labels: row {at} has no time, but {value!r:.100}; give a datetime or RFC 3339")
