"""DuckDB's ASOF join of labels with feature rows, as many as ours: prints how long it took, in seconds.

Usage: duckdb_asof.py LABELS ROWS KEYS
"""

import json
import sys
import time

import duckdb

NUMBERS = [f"number_{index}" for index in range(14)]


def main(labels, rows, keys):
    connection = duckdb.connect()
    connection.execute("SET threads TO 2")
    columns = ", ".join(f"(n * {index + 1} % 1000)::double AS {name}" for index, name in enumerate(NUMBERS))
    connection.execute(
        f"""CREATE TABLE feature_rows AS
        SELECT 'e' || (n % {keys}) AS entity_key, TIMESTAMP '2026-01-01' + (n // {keys}) * INTERVAL 6 HOUR AS event_time,
        {columns}, 'grocery' AS category FROM range(1, {rows + 1}) AS r(n)"""
    )
    connection.execute(
        f"""CREATE TABLE labels AS
        SELECT n AS label_id, 'e' || (n * 7919 % {keys}) AS entity_key,
        TIMESTAMP '2026-01-01' + n * INTERVAL 21 SECOND AS event_time, n % 2 AS label FROM range(1, {labels + 1}) AS r(n)"""
    )
    begin = time.perf_counter()
    joined = connection.execute(
        """SELECT l.label_id, l.label, f.* FROM labels l ASOF LEFT JOIN feature_rows f
        ON l.entity_key = f.entity_key AND l.event_time >= f.event_time ORDER BY l.event_time"""
    ).fetchall()
    seconds = time.perf_counter() - begin
    assert len(joined) == labels
    print(json.dumps({"seconds": seconds}))


main(*map(int, sys.argv[1:4]))
