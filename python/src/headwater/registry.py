"""Model versions: what the platform's registry, MLflow or a folder, knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ._transport import Transport
from .table import Table, html_table


@dataclass(frozen=True)
class ModelVersion:
    """A version of a model in the registry."""

    name: str
    version: int
    stage: str
    """`None`, `Staging`, `Production` or `Archived`."""
    aliases: tuple[str, ...]
    created_at: datetime
    description: str
    run_id: str
    """The training run that it comes from; empty where it is not known."""
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    def _repr_html_(self) -> str:
        rows = [
            ("stage", self.stage),
            ("created", self.created_at),
            ("run", self.run_id),
            *self.metrics.items(),
        ]
        return html_table(f"{self.name} {self.version}", [("", ""), ("", "")], rows, len(rows))


class RegistryClient:
    """Reads models and their versions through serving; a caller needs no access to MLflow itself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def models(self) -> Table:
        """Return the models that are served, with the versions that answer."""
        found = self._transport.get("models")["models"]
        kinds = {"name": "string", "variant": "string", "version": "long", "ready": "boolean"}
        return Table({name: (kind, [each.get(name) for each in found]) for name, kind in kinds.items()}, title="models")

    def signature(self, model: str) -> Mapping[str, Any]:
        """Return the task and the inputs of the version that is served.

        :raises RequestFailedError: where there is none
        """
        signature: Mapping[str, Any] = self._transport.get("models", model).get("signature") or {}
        return signature

    def versions(self, model: str) -> list[ModelVersion]:
        """Return the versions of a model, the newest first.

        :raises RequestFailedError: where there is no such model
        """
        found = self._transport.get("models", model, "versions")["versions"]
        return sorted((_version(each) for each in found), key=lambda each: -each.version)

    def metrics(self, model: str) -> Table:
        """Return a row for each version, the newest first, with a column for each metric."""
        versions = self.versions(model)
        names = dict.fromkeys(name for each in versions for name in each.metrics)
        columns: dict[str, tuple[str, list[Any]]] = {
            "version": ("long", [each.version for each in versions]),
            "stage": ("string", [each.stage for each in versions]),
            "created_at": ("timestamp", [each.created_at for each in versions]),
        }
        for name in names:
            columns[name] = ("double", [each.metrics.get(name) for each in versions])
        return Table(columns, title=model)


def _version(found: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        found["name"],
        found["version"],
        found["stage"],
        tuple(found["aliases"]),
        datetime.fromtimestamp(found["createdAtMs"] / 1_000, tz=timezone.utc),
        found["description"],
        found["runId"],
        found["metrics"],
        found["tags"],
    )
