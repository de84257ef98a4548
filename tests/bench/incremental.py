"""CPU of one more day of `fact_audience` beside that of a full rebuild, and of a run with nothing to do.

    python3 tests/bench/incremental.py --pipe target/release/pipe [--events 20000000] [--days 365] [--dbt dbt]

Writes a made-up watch log as Parquet (needs duckdb) of what the schedule has for each of the days, runs the project's job on it in a temporary folder, adds a day, and
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
    schedule(folder, days)


def schedule(folder: pathlib.Path, days: int) -> None:
    """The two weeks of the samples before 2026-11-02, then again and again before them, the programmes in other places."""
    file = folder / "samples/backend/broadcast.csv"
    duckdb.sql(f"create or replace table sample as select row_number() over () - 1 as n, * from read_csv('{file}')")
    duckdb.sql(
        f"""create or replace table broadcast as
        with weeks as (select n, start_at, end_at, channel_id from sample where start_at < timestamp '2026-11-02'),
          again as (select n, k, start_at - to_days(14 * k) as start_at, end_at - to_days(14 * k) as end_at, channel_id,
            (n + 997 * k) % (select count(*) from weeks) as m from weeks, range(0, {days // 14 + 2}) as periods(k))
        select s.program_id, s.episode_id, a.channel_id, a.start_at, a.end_at
        from again as a join sample as s on s.n = a.m
        union all
        select program_id, episode_id, channel_id, start_at, end_at from sample where start_at >= timestamp '2026-11-02'"""
    )
    duckdb.sql(f"copy (from broadcast order by start_at, channel_id) to '{file}'")
    duckdb.sql(
        """create or replace table aired as
        select start_at::date as day, row_number() over (partition by start_at::date order by start_at, channel_id) - 1 as n,
          count(*) over (partition by start_at::date) as of_day, * from broadcast"""
    )


def watches(folder: pathlib.Path, events: int, days: int, first: int, last: int) -> None:
    """One file per 30 days: rows of the days from `first` to `last` before 2026-11-02."""
    per_day = events // days
    duckdb.sql(
        f"""copy (
          select 1 + hash(i) % 200000 as user_id, b.program_id, b.episode_id, b.channel_id,
            case when hash(i, 3) % 4 = 0 then 'replay' else 'live' end as asset_type, 'web' as device_type,
            -- what is not live is watched up to a few hours later, on the same day
            least(b.start_at + to_seconds((hash(i, 1) % greatest(1, datediff('second', b.start_at, b.end_at)))::bigint
              + case when hash(i, 3) % 4 = 0 then 7200 else 0 end), b.day + interval '23:59:59') as real_start_at,
            60 + hash(i, 2) % 5000 as duration, b.day as date_day
          from (select i, b.* from (
              select d * 100000000 + r as i, c.day, (hash(d * 100000000 + r, 4) % c.of_day)::bigint as n
              from range({last}, {first} + 1) as days(d), range({per_day}) as rows(r)
              join (select distinct day, of_day from aired) as c on c.day = date '2026-11-02' - d::int
            ) as e join aired as b using (day, n)) as b
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
