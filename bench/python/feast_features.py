"""A Feast feature store with one view of fifteen features in Redis, filled, for its own HTTP server to serve.

Usage: feast_features.py FOLDER REDIS_ADDRESS ENTITIES

Makes a repository in FOLDER, applies it and writes ENTITIES rows online. `feast -c FOLDER serve` serves it then.
"""

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pandas
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

NUMBERS = [f"number_{index}" for index in range(10)]
COUNTS = [f"count_{index}" for index in range(4)]
ROWS_A_WRITE = 2_000


def main(folder, redis_address, entities):
    now = datetime.now(timezone.utc)
    rows = pandas.DataFrame(
        {
            "user_id": [f"u{index}" for index in range(entities)],
            "event_timestamp": [now] * entities,
            **{name: [index * 1.5 for index in range(entities)] for name in NUMBERS},
            **{name: list(range(entities)) for name in COUNTS},
            "category": ["grocery"] * entities,
        }
    )
    rows.to_parquet(folder / "rows.parquet")
    (folder / "feature_store.yaml").write_text(
        f"""project: bench
registry: {folder}/registry.db
provider: local
online_store:
  type: redis
  connection_string: {redis_address}
entity_key_serialization_version: 3
"""
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="fifteen",
        entities=[user],
        ttl=timedelta(days=30),
        schema=[
            *[Field(name=name, dtype=Float64) for name in NUMBERS],
            *[Field(name=name, dtype=Int64) for name in COUNTS],
            Field(name="category", dtype=String),
        ],
        source=FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp"),
    )
    store = FeatureStore(repo_path=str(folder))
    store.apply([user, view])
    for start in range(0, entities, ROWS_A_WRITE):
        store.write_to_online_store("fifteen", rows.iloc[start : start + ROWS_A_WRITE])
    print("filled")


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
