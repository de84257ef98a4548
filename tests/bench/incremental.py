"""CPU of one more day of `fact_audience` beside that of a full rebuild, and of a run with nothing to do.

    python3 tests/bench/incremental.py --pipe target/release/pipe [--events 20000000] [--days 365] [--dbt dbt]

Writes a made-up watch log as Parquet (needs duckdb), runs the project's job on it in a temporary folder, adds a day, and
prints the CPU seconds of each run. With `--dbt` (needs dbt-duckdb) the same model of dbt-duckdb runs beside it, and what both
publish is compared.
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

import incremental_dbt

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


def cpu(command: list, folder: pathlib.Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.time()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    words = " ".join(str(word) for word in [pathlib.Path(command[0]).name, *command[1:]])
    print(f"{words:75} {used:8.2f} CPU s  {time.time() - started:8.2f} s", flush=True)
    return used


def compare(pipe: pathlib.Path, folder: pathlib.Path, dbt: pathlib.Path) -> None:
    """Rows, viewers and minutes of both."""
    sums = "select count(*), sum(reach), sum(engaged_viewers), round(sum(minutes_watched)) from "
    command = [pipe, "sql", "--format", "csv", sums + "dw.fact_audience"]
    mine = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    theirs = duckdb.connect(f"{dbt}/bench.duckdb", read_only=True).sql(sums + "fact_audience").fetchall()[0]
    print(f"rows, reach, engaged viewers, minutes: pipe {mine}; dbt {','.join(str(number) for number in theirs)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipe", type=pathlib.Path, default=ROOT / "target/release/pipe")
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--dbt", help="the command of dbt, to run dbt-duckdb beside it")
    args = parser.parse_args()
    run = [args.pipe.resolve(), "run", "fact_audience"]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = pathlib.Path(name)
        project(folder, args.days)
        for first in range(args.days, 0, -30):
            watches(folder, args.events, args.days, first, max(first - 29, 1))
        full = cpu([*run, "--date", "2026-11-01", "--full-refresh"], folder)
        beside = incremental_dbt.write(folder)
        model = lambda day, *more: [args.dbt, "run", "--profiles-dir", ".", "--vars", f"day: '{day}'", *more]
        if args.dbt:
            theirs_full = cpu(model("2026-11-01", "--full-refresh"), beside)
        watches(folder, args.events, args.days, 0, 0)
        day = cpu([*run, "--date", "2026-11-02"], folder)
        cpu([*run, "--date", "2026-11-02"], folder)
        print(f"one more day costs {100 * day / full:.1f} % of a full rebuild")
        if args.dbt:
            theirs = cpu(model("2026-11-02"), beside)
            print(f"with dbt-duckdb it costs {100 * theirs / theirs_full:.1f} %")
            compare(run[0], folder, beside)


if __name__ == "__main__":
    main()
