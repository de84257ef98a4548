"""`fact_audience` as a model of dbt-duckdb: what `incremental.py` puts beside pipe's figures.

The model says what the job's SQL says, in DuckDB's words: an incremental one that replaces the last fourteen days (`delete+insert`
by day), over the same files.
"""

import pathlib

PROFILE = """
bench:
  target: dev
  outputs:
    dev: {{type: duckdb, path: "{folder}/bench.duckdb", threads: 2, settings: {{threads: 2}}}}
"""

PROJECT = """
name: bench
version: "1.0"
profile: bench
model-paths: [models]
flags: {send_anonymous_usage_stats: false}
"""

MODEL = """
{{{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='date_day') }}}}
with only_episodes as (
  select program_id, min(id) as episode_id from read_csv('{samples}/backend/episode.csv') group by program_id having count(*) = 1
),
broadcasts as (
  select b.channel_id, b.program_id, coalesce(b.episode_id, o.episode_id) as episode_id, b.start_at, b.end_at,
    datediff('second', b.start_at, b.end_at) as seconds, coalesce(e.duration, p.duration) as episode_seconds
  from read_csv('{samples}/backend/broadcast.csv') as b
  join read_csv('{samples}/backend/program.csv') as p on p.id = b.program_id
  left join only_episodes as o on o.program_id = b.program_id
  left join read_csv('{samples}/backend/episode.csv') as e on e.id = coalesce(b.episode_id, o.episode_id)
  where b.start_at < date '{{{{ var("day") }}}}' + 1 and b.end_at > b.start_at
),
stretches as (
  select w.date_day, w.user_id, w.channel_id, w.program_id, coalesce(w.episode_id, o.episode_id) as episode_id, w.asset_type,
    w.real_start_at as from_at, w.real_start_at + to_seconds(w.duration) as until_at, w.duration as seconds
  from read_parquet('{samples}/watch/*.parquet') as w
  left join only_episodes as o on o.program_id = w.program_id
  where w.duration > 0 and w.date_day <= date '{{{{ var("day") }}}}'
  {{% if is_incremental() %}} and w.date_day >= date '{{{{ var("day") }}}}' - 13 {{% endif %}}
),
live as (
  select s.date_day, s.asset_type, s.user_id, b.channel_id, b.program_id, b.episode_id, b.start_at, b.end_at,
    b.seconds as broadcast_seconds, b.episode_seconds, greatest(s.from_at, b.start_at) as from_at,
    least(s.until_at, b.end_at) as until_at,
    datediff('second', greatest(s.from_at, b.start_at), least(s.until_at, b.end_at)) as seconds
  from stretches as s
  join broadcasts as b on b.channel_id = s.channel_id and b.program_id = s.program_id
    and b.start_at < s.until_at and b.end_at > s.from_at
  where s.asset_type = 'live'
),
time_shifted as (
  select s.date_day, s.asset_type, s.user_id, b.channel_id, b.program_id, b.episode_id, b.start_at, b.end_at,
    b.seconds as broadcast_seconds, b.episode_seconds, s.from_at, s.until_at, least(s.seconds, b.seconds) as seconds
  from stretches as s
  asof join broadcasts as b on s.channel_id = b.channel_id and s.program_id = b.program_id and s.episode_id = b.episode_id
    and s.from_at >= b.start_at
  where s.asset_type <> 'live'
),
points as (
  select date_day, from_at as moment, 1 as weight from live
  union all select date_day, until_at, -1 from live
  union all select distinct date_day, start_at, 0 from live
  union all select distinct date_day, end_at, 0 from live
),
watched as (
  select date_day, moment,
    sum(weight) over (partition by date_day order by moment rows unbounded preceding) * date_part('epoch', moment)
      - sum(weight * date_part('epoch', moment)) over (partition by date_day order by moment rows unbounded preceding) as seconds
  from points
),
watched_until as (
  select date_day, moment, max(seconds) as seconds from watched group by all
),
slots as (
  select l.date_day, l.asset_type, l.start_at, l.end_at, e.seconds - b.seconds as seconds
  from (select distinct date_day, asset_type, start_at, end_at from live) as l
  join watched_until as b on b.date_day = l.date_day and b.moment = l.start_at
  join watched_until as e on e.date_day = l.date_day and e.moment = l.end_at
  union all
  select distinct v.date_day, v.asset_type, v.start_at, v.end_at, d.seconds
  from time_shifted as v
  join (select date_day, asset_type, sum(seconds) as seconds from time_shifted group by all) as d
    on d.date_day = v.date_day and d.asset_type = v.asset_type
)
select v.date_day, v.channel_id, v.start_at, v.end_at, v.program_id, v.episode_id, v.asset_type,
  count(distinct v.user_id) filter (v.seconds >= 60) as reach,
  sum(v.seconds) / 60 as minutes_watched,
  sum(v.seconds) / v.broadcast_seconds as average_minute_audience,
  sum(v.seconds) / s.seconds as share_of_viewing,
  count(distinct v.user_id) filter (v.seconds > greatest(20 * 60, 0.8 * coalesce(v.episode_seconds, 0))) as engaged_viewers
from (select * from live union all select * from time_shifted) as v
join slots as s on s.date_day = v.date_day and s.asset_type = v.asset_type and s.start_at = v.start_at and s.end_at = v.end_at
group by v.date_day, v.channel_id, v.start_at, v.end_at, v.program_id, v.episode_id, v.asset_type, v.broadcast_seconds, s.seconds
"""


def write(folder: pathlib.Path) -> pathlib.Path:
    """A dbt project beside the files that the model reads."""
    place = folder / "dbt"
    (place / "models").mkdir(parents=True)
    (place / "profiles.yml").write_text(PROFILE.format(folder=place))
    (place / "dbt_project.yml").write_text(PROJECT)
    (place / "models/fact_audience.sql").write_text(MODEL.format(samples=folder / "samples"))
    return place
