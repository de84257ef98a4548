#!/usr/bin/env python3
"""Snowflake SQL on the embedded engine beside DuckDB on the same Parquet files: CPU seconds of whole processes. Exact arithmetic
is also put beside plain DataFusion's on 64-bit integers, which wraps around where NUMBER is an error.

usage: python3 tests/bench/dialect.py [--pipe target/release/pipe] [--rows 1000000]     (needs: pip install duckdb datafusion)
"""
import argparse
import sys
import tempfile
from pathlib import Path

import duckdb

from measure import best

CASES = [  # name, rows divided by, Snowflake SQL, DuckDB SQL
    ("paths in a VARIANT column", "select sum(v:user.id::number), count(v:tags[1]::varchar), max(v:ratio::float) from bench.docs",
     "select sum((v->>'$.user.id')::bigint), count(v->>'$.tags[1]'), max((v->>'$.ratio')::double) from docs"),
    ("paths in PARSE_JSON of text", "select sum(parse_json(t):user.id::number) from bench.texts", "select sum(json_extract(t, '$.user.id')::bigint) from texts"),
    ("FLATTEN of arrays of five", "select count(*), sum(f.value::number) from bench.arrays, lateral flatten(input => a) f",
     "select count(*), sum(x::bigint) from (select unnest(a::json[]) as x from arrays)"),
    ("NUMBER + - *", "select sum(x + y), sum(x * y - x) from bench.numbers", "select sum(x + y), sum(x * y - x) from numbers"),
    ("NUMBER(10,2) / and round", "select sum(round(d / (y + 1), 2)) from bench.numbers", "select sum(round(d / (y + 1), 2)) from numbers"),
    ("group by with count distinct", "select y % 1000 as k, count(distinct x % 10000), sum(d) from bench.numbers group by k", "select y % 1000 as k, count(distinct x % 10000), sum(d) from numbers group by k"),
    ("dates", "select date_trunc('month', day) as m, count(*), max(datediff('day', day, '2026-01-01'::date)) from bench.numbers group by m",
     "select date_trunc('month', day) as m, count(*), max(datediff('day', day, '2026-01-01'::date)) from numbers group by m"),
    ("text functions", "select count(distinct upper(substr(s, 2, 5))), sum(length(replace(s, '1', 'one'))) from bench.numbers",
     "select count(distinct upper(substr(s, 2, 5))), sum(length(replace(s, '1', 'one'))) from numbers"),
]

PLAIN = "select sum(x + y), sum(x * y - x) from numbers"


def make(folder, rows):
    files = folder / "data" / "bench"
    files.mkdir(parents=True)
    con = duckdb.connect()
    con.execute("select setseed(0.5)")
    doc = ("json_object('id', i, 'ratio', i / 7.0, 'tags', ['news', 'sport', 'film'], 'title', 'programme number ' || i, "
           "'user', json_object('id', i % 1000, 'name', 'user ' || i % 1000, 'city', 'Saint-Malo'), 'zone', repeat('x', 60))")
    con.execute(f"copy (select {doc}::varchar as v from range({rows}) t(i)) to '{files}/docs.parquet'")
    con.execute(f"copy (select v as t from '{files}/docs.parquet') to '{files}/texts.parquet'")
    con.execute(f"copy (select '[' || i || ',2,3,' || i % 7 || ',5]' as a from range({rows}) t(i)) to '{files}/arrays.parquet'")
    con.execute(f"copy (select i as x, i % 12345 as y, (i % 100000 / 100.0)::decimal(10,2) as d, date '2020-01-01' + (i % 2000)::int as day, 's' || i as s "
                f"from range({10 * rows}) t(i)) to '{files}/numbers.parquet'")
    (folder / "schemas").mkdir()
    (folder / "schemas" / "bench.yaml").write_text(
        "schema: bench\ntables:\n  docs: {columns: {v: variant}}\n  texts: {columns: {t: varchar}}\n  arrays: {columns: {a: variant}}\n"
        "  numbers: {columns: {x: number, y: number, d: \"number(10,2)\", day: date, s: varchar}}\n")
    (folder / "pipe.yaml").write_text("targets:\n  local: {backend: datafusion, sources: data/}\n")
    return files


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--pipe", default="target/release/pipe")
    args.add_argument("--rows", type=int, default=1_000_000)
    args.add_argument("--runs", type=int, default=3)
    a = args.parse_args()
    pipe = Path(a.pipe).resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = make(folder, a.rows)
        views = "".join(f"create view {p.stem} as select * from '{p}';" for p in files.glob("*.parquet"))
        print(f"{'':32}{'pipe CPU s':>11}{'wall':>7}{'MiB':>7}{'DuckDB CPU s':>14}{'wall':>7}{'MiB':>7}{'ratio':>7}")
        for name, ours, theirs in CASES:
            peer = best([sys.executable, "-c", f"import duckdb; c = duckdb.connect(); c.execute({views!r}); print(c.execute({theirs!r}).fetchall()[:3])"], a.runs)
            try:
                us = best([pipe, "sql", "--format", "csv", ours], a.runs, cwd=folder)
            except RuntimeError as error:
                print(f"{name:32}{str(error).strip()[:300]}")
                continue
            print(f"{name:32}{us['cpu']:11.2f}{us['wall']:7.2f}{us['peak']:7.0f}{peer['cpu']:14.2f}{peer['wall']:7.2f}{peer['peak']:7.0f}{us['cpu'] / peer['cpu']:7.2f}")
            if name.startswith("NUMBER +"):
                script = (f"import datafusion as d; c = d.SessionContext(d.SessionConfig().with_target_partitions(2)); "
                          f"c.register_parquet('numbers', '{files}/numbers.parquet'); print(c.sql({PLAIN!r}).collect())")
                plain = best([sys.executable, "-c", script], a.runs)
                print(f"{'  beside plain DataFusion':32}{'':25}{plain['cpu']:14.2f}{plain['wall']:7.2f}{plain['peak']:7.0f}{us['cpu'] / plain['cpu']:7.2f}")


main()
