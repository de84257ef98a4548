#!/usr/bin/env python3
"""`pipe diff` of two runs of a large table beside DuckDB's EXCEPT, both ways, on the same Parquet files: CPU, wall, memory.

usage: python3 tests/bench/diff.py [--pipe target/release/pipe] [--rows 10000000]      (needs: pip install duckdb)

DuckDB only counts the rows of either difference; `pipe diff` also pairs them by key, counts the changes of each column, gives
mean, spread and bounds of the numbers before and after, and shows rows.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import duckdb

from measure import best, measure

ROOT = Path(__file__).resolve().parents[2]
EXCEPT = """
import duckdb, sys
a, b = sys.argv[1:]
db = duckdb.connect()
print([db.execute(f"select count(*) from (from '{x}' except from '{y}')").fetchone()[0] for x, y in ((a, b), (b, a))])
"""


def sources(folder, rows):
    """Two states: of a thousand rows one has another score, of ten thousand one is gone, and a thousand are new."""
    db = duckdb.connect()
    first = f"""
      select i as id, (i * 7919) % 300000 as user_id, 'programme ' || ((i * 31) % 5000) as title,
        ((i * 104729) % 100000) / 1000.0 as score, date '2026-01-01' + ((i % 365)::int) as day,
        case when i % 50 = 0 then null else (i * 17) % 1000 end as views
      from range({rows}) as t(i)"""
    db.execute(f"copy ({first}) to '{folder}/first.parquet'")
    db.execute(f"""copy (
      select id, user_id, title, case when id % 1000 = 7 then score + 1 else score end as score, day, views
      from '{folder}/first.parquet' where id % 10000 <> 5
      union all select {rows} + i, i, 'new', 1.5, date '2026-02-02', i from range(1000) as t(i)
    ) to '{folder}/second.parquet'""")


def project(folder, rows):
    (folder / "schemas").mkdir()
    (folder / "pipelines").mkdir()
    (folder / "data/raw").mkdir(parents=True)
    sources(folder, rows)
    (folder / "pipe.yaml").write_text("targets:\n  local: {backend: datafusion, sources: data/}\n")
    columns = "{id: number, user_id: number, title: varchar, score: float, day: date, views: number}"
    (folder / "schemas/raw.yaml").write_text(f"schema: raw\ntables:\n  big:\n    columns: {columns}\n")
    (folder / "pipelines/big.yaml").write_text(
        "job: big\nsteps:\n  big:\n    publish: out.big\n    sql: select * from raw.big\n    tests: [{unique: [id]}]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default=str(ROOT / "target" / "release" / "pipe"))
    parser.add_argument("--rows", type=int, default=10_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, args.rows)
        tables = []
        for state in ("first", "second"):
            (folder / f"{state}.parquet").replace(folder / "data/raw/big.parquet")
            ran = measure([args.pipe, "run", "big", "--quiet"], cwd=folder)
            assert ran["code"] == 0, ran["err"]
            files = sorted((folder / ".pipe/warehouse/out/big").resolve().glob("*.parquet"))
            tables.append([folder / f"{state}-{at}.parquet" for at, _ in enumerate(files)])
            for file, kept in zip(files, tables[-1]):
                kept.hardlink_to(file.resolve())
        first = measure([args.pipe, "runs"], cwd=folder)["out"].splitlines()[-1].split()[0]
        ours = best([args.pipe, "diff", "big", "--against", first, "--with", "last"], cwd=folder)
        print(ours["out"])
        peer = best([sys.executable, "-c", EXCEPT, *(str(folder / f"{state}-*.parquet") for state in ("first", "second"))])
        print("duckdb", duckdb.__version__, "EXCEPT:", peer["out"].strip())
        for what, result in (("pipe diff", ours), ("duckdb except", peer)):
            print(f"{what:14} {result['cpu']:6.2f} CPU s {result['wall']:6.2f} s {result['peak']:6.0f} MiB")


if __name__ == "__main__":
    main()
