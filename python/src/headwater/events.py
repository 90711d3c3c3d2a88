"""Events, sent so that each counts once."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._frames import Rows, rows_of
from ._transport import Transport
from ._values import to_json
from .errors import FieldProblem
from .table import html_table

_LARGEST_BATCH = 1_000


@dataclass(frozen=True)
class RefusedEvent:
    """An event that was not taken."""

    index: int
    """Its place among the events that were sent, from 0."""
    status: str
    """`rejected`: sending it again does not help. `failed`: it may be sent again, with the same id."""
    code: str
    reason: str
    fields: tuple[FieldProblem, ...] = ()


@dataclass(frozen=True)
class IngestResult:
    """What became of events."""

    accepted: int
    duplicates: int
    """Of events that were accepted before."""
    refused: tuple[RefusedEvent, ...] = ()

    def _repr_html_(self) -> str:
        title = f"{self.accepted} accepted, {self.duplicates} duplicates, {len(self.refused)} refused"
        head = [("index", ""), ("status", ""), ("code", ""), ("reason", "")]
        rows = [(each.index, each.status, each.code, each.reason) for each in self.refused[:20]]
        return html_table(title, head, rows, len(self.refused))


class EventsClient:
    """Sends events to the gateway."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send(self, event: Mapping[str, Any], *, id_field: str | None = "event_id") -> str:
        """Send one event, and return its id when it is durable.

        :param event: its `event_type` and the fields of the source's schema
        :param id_field: the field that gets an id where the event has none, so that it counts once however often it is
            sent; None for sources whose id is made of other fields
        :raises RequestFailedError: with the fields that the source's schema refuses
        """
        return str(self._transport.post("/ingest", _completed(event, None, id_field))["event_id"])

    def ingest(self, events: Rows, *, event_type: str | None = None, id_field: str | None = "event_id") -> IngestResult:
        """Send events, 1,000 at a time; each has a result of its own.

        :param events: a data frame (fields without a value are left out) or dictionaries
        :param event_type: of events that do not name their own
        :param id_field: as in :meth:`send`; keep the ids to send the same events again
        """
        sent = [_completed(each, event_type, id_field) for each in rows_of(events, of="events")]
        accepted, duplicates, refused = 0, 0, []
        for start in range(0, len(sent), _LARGEST_BATCH):
            answer = self._transport.post("/ingest/batch", sent[start : start + _LARGEST_BATCH])
            accepted += answer["accepted"]
            duplicates += answer["duplicates"]
            refused += [
                RefusedEvent(
                    start + each["index"],
                    each["status"],
                    each.get("code", ""),
                    each.get("reason", ""),
                    tuple(FieldProblem(one["field"], one["problem"]) for one in each.get("fields", ())),
                )
                for each in answer["results"]
                if each["status"] in ("rejected", "failed")
            ]
        return IngestResult(accepted, duplicates, tuple(refused))


def _completed(event: Mapping[str, Any], event_type: str | None, id_field: str | None) -> dict[str, Any]:
    completed: dict[str, Any] = {} if event_type is None else {"event_type": event_type}
    if id_field is not None:
        completed[id_field] = uuid.uuid4().hex
    return {**completed, **to_json(event)}
