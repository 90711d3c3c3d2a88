"""Writes the same rows with pandas, polars, pyarrow, DuckDB, delta-rs and pyiceberg, and as Spark lays them out. Reads {folder, rows} from stdin; prints the files by guest."""

import datetime as dt
import decimal
import json
import os
import sys

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from deltalake import write_deltalake
from pyiceberg.catalog.sql import SqlCatalog

ask = json.load(sys.stdin)
folder = ask["folder"]

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("amount", pa.decimal128(38, 2)),
        ("price", pa.decimal128(9, 2)),
        ("big", pa.int64()),
        ("count", pa.int32()),
        ("ratio", pa.float64()),
        ("ok", pa.bool_()),
        ("note", pa.string()),
        ("day", pa.date32()),
        ("raw", pa.binary()),
        ("tags", pa.list_(pa.string())),
        ("place", pa.struct([("city", pa.string()), ("zip", pa.int64())])),
        ("vector", pa.list_(pa.float32())),
    ]
)


def value(name, held):
    if held is None:
        return None
    if name in ("amount", "price"):
        return decimal.Decimal(held)
    if name == "timestamp":
        return dt.datetime.fromisoformat(held)
    if name == "day":
        return dt.date.fromisoformat(held)
    if name == "big":
        return int(held)
    if name == "raw":
        return bytes.fromhex(held)
    return held


rows = [{name: value(name, row[name]) for name in SCHEMA.names} for row in ask["rows"]]
table = pa.Table.from_pylist(rows, schema=SCHEMA)
written = {}


def path(guest, suffix):
    name = os.path.join(folder, f"{guest}.{suffix}")
    written[f"{guest}.{suffix}"] = name
    return name


# Text has no types of its own: lists and structs are JSON there, bytes base64 as events have them.
def flat(row):
    import base64

    return {
        **row,
        "tags": json.dumps(row["tags"], ensure_ascii=False),
        "place": None if row["place"] is None else json.dumps(row["place"], ensure_ascii=False),
        "vector": json.dumps(row["vector"]),
        "raw": None if row["raw"] is None else base64.b64encode(row["raw"]).decode(),
    }


flat_schema = pa.schema([(f.name, pa.string()) if f.name in ("tags", "place", "vector", "raw") else f for f in SCHEMA])
flat_table = pa.Table.from_pylist([flat(row) for row in rows], schema=flat_schema)

# pandas: nullable integers as doubles, booleans as objects, missing values as NaN and NaT.
frame = table.to_pandas()
flat_frame = flat_table.to_pandas()
frame.to_parquet(path("pandas", "parquet"))
frame.to_parquet(path("pandas-zstd", "parquet"), compression="zstd", index=False)
flat_frame.to_csv(path("pandas", "csv"), index=False)
flat_frame.to_csv(path("pandas-gzip", "csv.gz"), index=False)
flat_frame.convert_dtypes().to_csv(path("pandas-nullable", "csv"), index=False, na_rep="<NA>", columns=[n for n in flat_frame if n not in ("note", "raw", "place", "day")])
flat_frame.to_csv(path("pandas-quoted", "csv"), index=False, quoting=1)

# polars: zstd is its default.
polars = pl.from_arrow(table)
polars.write_parquet(path("polars", "parquet"))
pl.from_arrow(flat_table).write_csv(path("polars", "csv"))
text = polars.with_columns(pl.col("big").cast(pl.String), pl.col("amount").cast(pl.String), pl.col("price").cast(pl.Float64))
text.drop("raw", "day").with_columns(pl.Series("day", [None if r["day"] is None else r["day"].isoformat() for r in rows]), pl.Series("raw", [flat(r)["raw"] for r in rows])).with_columns(
    pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
).write_ndjson(path("polars", "ndjson"))

# pyarrow: dictionaries, other codecs and pages, every unit of a timestamp.
encoded = table.set_column(1, "user_id", table["user_id"].dictionary_encode())
for codec in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
    pq.write_table(encoded, path(f"arrow-{codec}", "parquet"), compression=codec, row_group_size=3)
pq.write_table(table, path("arrow-v2", "parquet"), data_page_version="2.0", version="2.6", use_dictionary=False, column_encoding={"big": "DELTA_BINARY_PACKED", "ratio": "BYTE_STREAM_SPLIT", "note": "DELTA_BYTE_ARRAY"})
pq.write_table(table.set_column(2, "timestamp", table["timestamp"].cast(pa.timestamp("ns", tz="Asia/Kolkata"))), path("arrow-ns", "parquet"))
pq.write_table(table.set_column(2, "timestamp", table["timestamp"].cast(pa.timestamp("us"))), path("arrow-naive", "parquet"))
pyarrow.csv.write_csv(flat_table, path("arrow", "csv"))

# DuckDB
database = duckdb.connect()
database.execute("SET TimeZone='UTC'")
database.register("t", table)
database.register("f", flat_table)
database.execute(f"COPY t TO '{path('duckdb', 'parquet')}' (FORMAT parquet, COMPRESSION zstd)")
database.execute(f"COPY f TO '{path('duckdb', 'csv')}' (HEADER)")
database.execute(f"COPY (SELECT * REPLACE (big::VARCHAR AS big, amount::VARCHAR AS amount, price::DOUBLE AS price, strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%fZ') AS timestamp, base64(raw) AS raw) FROM t) TO '{path('duckdb', 'json')}' (FORMAT json)")

# Spark: folders for two columns, INT96 timestamps, marks and checksums beside the parts.
spark = os.path.join(folder, "spark")
written["spark"] = os.path.join(spark, "**/*.parquet")
for index, row in enumerate(rows):
    note = "__HIVE_DEFAULT_PARTITION__" if row["note"] is None else "".join(f"%{ord(c):02X}" if c in '"%\'*/:=?\\{[]^ ' and c != " " else c for c in row["note"])
    part = os.path.join(spark, f"user_id={row['user_id']}", f"note={note}")
    os.makedirs(part, exist_ok=True)
    one = table.slice(index, 1).drop_columns(["user_id", "note"])
    pq.write_table(one, os.path.join(part, f"part-{index:05d}-7a1c.c000.snappy.parquet"), use_deprecated_int96_timestamps=True)
    open(os.path.join(part, f".part-{index:05d}-7a1c.c000.snappy.parquet.crc"), "wb").close()
for mark in ("_SUCCESS", "_committed_1.parquet"):
    open(os.path.join(spark, mark), "wb").close()

# Tables of a lake. Each has two versions, and a row that was deleted in the second.
gone = pa.Table.from_pylist([{**rows[0], "event_id": "deleted"}], schema=SCHEMA)
delta = os.path.join(folder, "delta")
write_deltalake(delta, gone, partition_by=["user_id"])
write_deltalake(delta, table, mode="overwrite", partition_by=["user_id"])
written["delta"] = f"delta:{delta}"
warehouse = os.path.join(folder, "iceberg")
os.makedirs(warehouse)
catalog = SqlCatalog("guests", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
catalog.create_namespace("n")
iceberg = catalog.create_table("n.events", schema=SCHEMA)
iceberg.append(gone)
iceberg.overwrite(table)
written["iceberg"] = "iceberg:" + iceberg.metadata_location.removeprefix("file://")
print(json.dumps(written))
