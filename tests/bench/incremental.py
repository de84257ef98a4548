"""CPU of one more day of `fact_audience` beside that of a full rebuild, and of a run with nothing to do.

    python3 tests/bench/incremental.py --pipe target/release/pipe [--events 20000000] [--days 365]

Writes a made-up watch log as Parquet (needs duckdb), runs the project's job on it in a temporary folder, adds a day, and
prints the CPU seconds of each run.
"""

import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[2]


def project(folder: pathlib.Path, days: int) -> None:
    for part in ["pipelines", "sql", "schemas"]:
        shutil.copytree(ROOT / part, folder / part)
    shutil.copytree(ROOT / "samples", folder / "samples")
    (folder / "samples/dw/fact_watch.csv").unlink()
    job = folder / "pipelines/fact_audience.yaml"
    since = duckdb.sql(f"select (date '2026-11-02' - {days})::date").fetchall()[0][0]
    job.write_text(job.read_text().replace("since: 2026-10-20", f"since: {since}"))
    (folder / "pipe.yaml").write_text(
        "default_target: local\ntargets:\n  local:\n    backend: datafusion\n    sources: samples/\n"
        "    tables:\n      dw.fact_watch: {path: samples/watch/, format: parquet}\n"
        "      external_sources.audio_clip: {path: samples/audio/, format: files}\n"
    )
    (folder / "samples/watch").mkdir()


def watches(folder: pathlib.Path, events: int, days: int, first: int, last: int) -> None:
    """One file per 30 days: rows of the days from `first` to `last` before 2026-11-02."""
    samples = folder / "samples/backend"
    per_day = events // days
    duckdb.sql(
        f"""copy (
          select 1 + hash(i) % 200000 as user_id, b.program_id, null::bigint as episode_id, b.channel_id,
            case when hash(i, 3) % 4 = 0 then 'replay' else 'live' end as asset_type, 'web' as device_type,
            (date '2026-11-02' - d::int)::timestamp + to_seconds((hash(i, 1) % 86000)::bigint) as real_start_at,
            60 + hash(i, 2) % 5000 as duration, (date '2026-11-02' - d::int)::date as date_day
          from range({last}, {first} + 1) as days(d), range({per_day}) as rows(r),
            lateral (select d * 100000000 + r as i),
            lateral (select * from (select row_number() over () - 1 as n, program_id, channel_id
              from read_csv('{samples}/broadcast.csv')) where n = hash(i, 4) % 1000) as b
          order by date_day
        ) to '{folder}/samples/watch/{1000 - first:04d}.parquet' (format parquet, row_group_size 122880)"""
    )


def cpu(pipe: pathlib.Path, folder: pathlib.Path, *words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.time()
    subprocess.run([pipe, "run", "fact_audience", *words], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{' '.join(words):45} {used:8.2f} CPU s  {time.time() - started:8.2f} s")
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipe", type=pathlib.Path, default=ROOT / "target/release/pipe")
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--days", type=int, default=365)
    args = parser.parse_args()
    pipe = args.pipe.resolve()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = pathlib.Path(name)
        project(folder, args.days)
        for first in range(args.days, 0, -30):
            watches(folder, args.events, args.days, first, max(first - 29, 1))
        full = cpu(pipe, folder, "--date", "2026-11-01", "--full-refresh")
        watches(folder, args.events, args.days, 0, 0)
        day = cpu(pipe, folder, "--date", "2026-11-02")
        cpu(pipe, folder, "--date", "2026-11-02")
        print(f"one more day costs {100 * day / full:.1f} % of a full rebuild")


if __name__ == "__main__":
    main()
