#!/usr/bin/env python3
"""What the dialect costs a statement: CPU of `pipe validate` on a job of many steps, which parses and binds each of them and runs
nothing. The same job with steps of one line tells what the rest of the engine costs.

usage: python3 tests/bench/statement.py [--pipe target/release/pipe] [--steps 500]
"""
import argparse
import shutil
import tempfile
from pathlib import Path

from measure import best

ROOT = Path(__file__).resolve().parents[2]

# As long as the checks that analysts paste into a worksheet: joins, CTEs, a path, dates, groups, a window.
LONG = """
with watched as (
  select p.id as program_id, p.title, e.id as episode_id, sum(w.duration) as total,
    count(case when w.duration > greatest(20 * 60, 0.8 * e.duration) then w.user_id else null end) as engaged,
    min(w.real_start_at) as first_start
  from dw.fact_watch as w
  join backend.program as p on p.id = w.program_id
  join backend.episode as e on e.id = w.episode_id
  where w.real_start_at > current_date - 7 and w.duration > 15 * 60
  group by p.id, p.title, e.id
),
bundles as (
  select channel_id, tvbundle_id, c.name, c.display_name
  from backend.rel_tvbundle_channel
  inner join backend.channel as c on channel_id = c.id
  where tvbundle_id in (25, 90, 26, 31, 60)
),
replays as (
  select distinct p.id, e.id as episode_id, b.display_name
  from backend.vod as v
    inner join backend.episode as e on v.episode_id = e.id
    inner join backend.program as p on e.program_id = p.id
    inner join bundles as b on v.channel_id = b.channel_id
  where v.disabled = 0 and v.video_type = 'REPLAY' and v.available_from <= current_date()
    and v.available_until >= current_date() and v.withdrawn_at is null and v.deleted_at is null
),
wishes as (
  select user_id, value:EPISODE_ID as episode_id, value:rating::float as rating
  from ml.user_replay_recommendations_latest, lateral flatten(input => parse_json(recommendations))
  where user_id in (1) and update_date = current_date - 1
)
select w.title, rating, round(total / 3600 * (1 - 0.5 * (datediff('day', first_start, current_date) / 7)), 0) as weighted,
  datediff('day', first_start, current_date) as age, r.episode_id, r.display_name
from watched as w
join replays as r on r.episode_id = w.episode_id
left join wishes on wishes.episode_id = w.episode_id
where age <= 7
qualify row_number() over (partition by w.title order by total desc) = 1
order by weighted desc
"""


def project(folder, steps, sql):
    shutil.copytree(ROOT / "schemas", folder / "schemas")
    (folder / "pipe.yaml").write_text(f"targets:\n  local: {{backend: datafusion, sources: {ROOT / 'samples'}/}}\n")
    (folder / "pipelines").mkdir()
    body = "".join(f"      {line}\n" for line in sql.strip().splitlines())
    job = "job: many\nsteps:\n" + "".join(f"  step_{i}:\n    sql: |\n{body}" for i in range(steps))
    (folder / "pipelines" / "many.yaml").write_text(job)


def cost(pipe, steps, sql):
    with tempfile.TemporaryDirectory() as folder:
        project(Path(folder), steps, sql)
        return best([pipe, "validate"], 3, cwd=folder)["cpu"]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--pipe", default="target/release/pipe")
    args.add_argument("--steps", type=int, default=500)
    a = args.parse_args()
    pipe = Path(a.pipe).resolve()
    none, short, long = cost(pipe, 1, "select 1 as a"), cost(pipe, a.steps, "select 1 as a"), cost(pipe, a.steps, LONG)
    print(f"one step: {none:.3f} s, {a.steps} steps of one line: {short:.3f} s, of {len(LONG.splitlines())} lines: {long:.3f} s")
    print(f"a statement of {len(LONG)} characters: {1000 * (long - none) / a.steps:.2f} ms, of one line: {1000 * (short - none) / a.steps:.2f} ms")


main()
