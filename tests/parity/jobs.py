#!/usr/bin/env python3
"""The jobs' results beside an independent computation in DuckDB from the same sample files: equal row for row.

usage: python3 tests/parity/jobs.py [--pipe target/debug/pipe] [JOB…]      (needs: pip install -r tests/parity/jobs.txt)

Each query below follows a job's definition and none of its SQL. Numbers may differ by a millionth, since the engines
round divisions differently, and ratings by half a cent, to which they are rounded; everything else must be equal, the
order of the lists included.
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[2]
DAY = "date '2026-11-02'"  # as pipe.yaml pins it for the samples
FREE = "select channel_id from rel_tvbundle_channel where tvbundle_id in (25, 26, 31, 60, 90)"

MACROS = f"""
create macro minmax(x, low, high) as case when high > low then (x - low) / (high - low) else 0 end;
create view bookmarked as
  select program_id, count(distinct user_id) as bookmarks from scheduled_recording
  where scheduled_at > {DAY} - interval 14 day group by all;
create view viewed as
  select program_id, sum(least(duration, 14400)) / 3600.0 as hours_watched from fact_watch
  where date_day between {DAY} - 14 and {DAY} - 1 group by all;
create view rated as
  select program_id, avg(rating) as rating from program_rating
  where program_rating_services_id = 2 and program_rating_type_id = 2 group by all;
create view credited as
  select distinct program_id, person_id from (
    select program_id, person_id from rel_program_person
    union all select e.program_id, person_id from rel_episode_person r, episode e where e.id = r.episode_id)
  where person_id in (select id from person where source = 'molotov');
create view celebrity as
  select c.program_id, count(*) as celebrity_points from credited c join user_follow_person f using (person_id) group by all;
create view taste_of_audiences as
  with w as (
    select user_id, affinity, sum(least(duration, 14400)) as s from fact_watch join daily_prog_affinity using (program_id)
    where date_day between {DAY} - 14 and {DAY} - 1 group by all)
  select user_id, affinity, s / sum(s) over (partition by user_id) as share
  from (select * from w union all select 0, affinity, sum(s) from w group by affinity) where s > 0;
"""

POPULAR = """
with c as (
  select affinity, p.id as program_id, p.title, coalesce(hours_watched, 0) as h, coalesce(bookmarks, 0) as b
  from daily_prog_affinity a join program p on p.id = a.program_id
    left join viewed v on v.program_id = p.id left join bookmarked k on k.program_id = p.id),
k as (select * from c where h > 0 or b > 0),
s as (select *, 0.5 * minmax(h, min(h) over (), max(h) over ()) + 0.5 * minmax(b, min(b) over (), max(b) over ()) as score from k)
select affinity, row_number() over (partition by affinity order by score desc, program_id) as position, program_id, title, h as hours_watched, b as bookmarks, score
from s qualify position <= 50
"""


def blended(upcoming, weights, top):
    """The best of each audience: every figure brought to 0..1 within the audience, then weighted."""
    terms = " + ".join(f"{w} * minmax({c}, min({c}) over a, max({c}) over a)" for c, w in weights.items() if c != "prime_time")
    extra = " + 0.2 * prime_time" if "prime_time" in weights else ""
    return f"""
with u as ({upcoming}),
c as (
  select affinity, u.*, title, coalesce(bookmarks, 0) as bookmarks, coalesce(rating, 0) as rating,
    coalesce(celebrity_points, 0) as celebrity_points, coalesce(hours_watched, 0) as hours_watched
  from u join program p on p.id = u.program_id join daily_prog_affinity a on a.program_id = u.program_id
    left join bookmarked b on b.program_id = u.program_id left join rated r on r.program_id = u.program_id
    left join celebrity c on c.program_id = u.program_id left join viewed v on v.program_id = u.program_id),
s as (select *, {terms}{extra} as score from c window a as (partition by affinity))
select *, row_number() over (partition by affinity order by score desc, program_id) as position from s qualify position <= {top}
"""


WEEK = blended(
    f"select program_id, min(start_at) as next_start_at from broadcast where channel_id in ({FREE}) and start_at >= {DAY} and start_at < {DAY} + 7 group by all",
    dict(bookmarks=0.4, rating=0.25, celebrity_points=0.15, hours_watched=0.2), 30)
TODAY = f"""
  select program_id, channel_id, start_at as next_start_at, (hour(start_at) + 1 in (20, 21, 22))::int as prime_time  -- Paris is at UTC+1 in November
  from broadcast where channel_id in ({FREE}) and start_at >= {DAY} and start_at < {DAY} + 1
  qualify row_number() over (partition by program_id order by prime_time desc, start_at, channel_id) = 1
"""
TODAYS = blended(TODAY, dict(bookmarks=0.3, rating=0.2, celebrity_points=0.1, hours_watched=0.2, prime_time=0.2), 20)


def per_user(lists, upcoming, top):
    """Each user's list; what is popular and upcoming fills short ones, after the user's own."""
    return f"""
with best as ({lists}), u as ({upcoming}),
own as (select user_id, program_id, any_value(next_start_at) as next_start_at, sum(share * score) as score, 0 as filled
  from best join taste_of_audiences using (affinity) group by user_id, program_id),
popular as (select program_id, max(next_start_at) as next_start_at, max(p.score) as score from ({POPULAR}) p join u using (program_id) group by program_id),
more as (select user_id, program_id, next_start_at, score, 1 as filled
  from (select distinct user_id from taste_of_audiences) cross join popular anti join own using (user_id, program_id))
select user_id, program_id, next_start_at, row_number() over (partition by user_id order by filled, round(score, 12) desc, program_id) as position
from (select * from own union all select * from more) qualify position <= {top}
"""


REPLAY = f"""
with available as (
  select distinct e.id as episode_id, p.id as program_id, case when ref_program_category_id in (1, 2, 8) then 7 else 3 end as max_age
  from vod v join episode e on e.id = v.episode_id join program p on p.id = e.program_id
  where video_type = 'REPLAY' and disabled = 0 and withdrawn_at is null and deleted_at is null
    and available_from <= {DAY} and available_until >= {DAY}
    and channel_id in (select channel_id from rel_tvbundle_channel r join tvbundle t on t.id = r.tvbundle_id where is_commercialized = 1)
    and not (ref_program_category_id = 4 and ref_program_kind_id in (36, 43))),
seen as (
  select episode_id, sum(duration) / 3600 as hours, datediff('day', min(real_start_at), {DAY}) as age from fact_watch
  where real_start_at > {DAY} - 7 and real_start_at < {DAY} and duration > 900 and episode_id is not null group by all),
weights as (select episode_id, program_id, hours * (1 - 0.5 * age / max_age) as weight
  from available join seen using (episode_id) where age <= max_age),
pool as (select * from weights qualify row_number() over (order by weight desc, episode_id) <= 150),
lately as (select * from fact_watch where date_day between {DAY} - 7 and {DAY} - 1),
audience as (
  with w as (select user_id, affinity, sum(least(duration, 14400)) as s from lately join daily_prog_affinity using (program_id) group by all)
  select user_id, affinity, s / sum(s) over (partition by user_id) as share from w where s > 0),
users as (select distinct user_id from audience union select 0),
shares as (select user_id, program_id, least(sum(share), 1) as share from audience join daily_prog_affinity using (affinity) group by all),
taste as (select user_id, program_id, sum(least(duration, 14400)) as s from lately where duration > 0 group by all),
likes as (select user_id, program_id, s / sum(s) over (partition by user_id) as share from taste),
near as (
  select user_id, m.program_id, sum(l.share * m.score) as score from likes l join program_similarity m on m.similar_program_id = l.program_id group by all),
alike as (select * from near qualify row_number() over (partition by user_id order by score desc, program_id) <= 100),
known as (
  select user_id, coalesce(w.episode_id, only_one) as episode_id from fact_watch w
  left join (select program_id, min(id) as only_one from episode group by program_id having count(*) = 1) using (program_id)
  where real_start_at < {DAY}),
scored as (
  select u.user_id, p.episode_id, p.program_id, weight, 2 * coalesce(s.share, 0) as affinity, least(coalesce(a.score, 0), 1) as alike
  from users u cross join pool p left join shares s using (user_id, program_id) left join alike a using (user_id, program_id)
  anti join known k on k.user_id = u.user_id and k.episode_id = p.episode_id),
rated as (
  select *, weight * (1 + affinity + alike) as rating,
    case when affinity = 0 and alike = 0 then 'top_replay' when affinity >= alike then 'affinity' else 'similar' end as reco_origin from scored),
capped as (select * from rated qualify row_number() over (partition by user_id, program_id order by rating desc, episode_id) <= 2)
select user_id, row_number() over (partition by user_id order by rating desc, episode_id) as position, episode_id, program_id, reco_origin, rating
from capped qualify position <= 50
"""

AUDIENCE = f"""
with one as (select program_id, min(id) as only_one from episode group by program_id having count(*) = 1),
b as (
  select b.*, coalesce(episode_id, only_one) as episode, coalesce(e.duration, p.duration) as length, epoch(end_at - start_at) as seconds
  from broadcast b left join one using (program_id) left join episode e on e.id = coalesce(episode_id, only_one) join program p on p.id = b.program_id
  where start_at < {DAY} + 1),
w as (
  select w.*, coalesce(episode_id, only_one) as episode, real_start_at + to_seconds(duration) as real_end_at
  from fact_watch w left join one using (program_id) where date_day between {DAY} - 13 and {DAY} and duration > 0),
live as (
  select date_day, asset_type, user_id, b.channel_id, b.program_id, b.episode, start_at, end_at, b.seconds, length,
    greatest(real_start_at, start_at) as since, least(real_end_at, end_at) as till
  from w join b on b.channel_id = w.channel_id and b.program_id = w.program_id and start_at < real_end_at and end_at > real_start_at
  where asset_type = 'live'),
later as (
  select date_day, asset_type, user_id, b.channel_id, b.program_id, b.episode, start_at, end_at, b.seconds, length, least(w.duration, b.seconds) as watched
  from w join b on b.channel_id = w.channel_id and b.program_id = w.program_id and b.episode = w.episode
    and start_at = (select max(start_at) from b x where x.channel_id = w.channel_id and x.program_id = w.program_id and x.episode = w.episode and x.start_at <= w.real_start_at)
  where asset_type <> 'live'),
viewing as (select * exclude (since, till), epoch(till - since) as watched from live union all select * from later),
slots as (
  select s.date_day, s.start_at, s.end_at, sum(greatest(epoch(least(v.till, s.end_at) - greatest(v.since, s.start_at)), 0)) as seconds
  from (select distinct date_day, start_at, end_at from live) s join live v using (date_day) group by all)
select v.date_day, v.channel_id, v.start_at, v.asset_type, program_id, episode as episode_id,
  count(distinct user_id) filter (watched >= 60) as reach, sum(watched) / 60.0 as minutes_watched,
  sum(watched) / any_value(v.seconds) as average_minute_audience,
  sum(watched) / any_value(case when v.asset_type = 'live' then s.seconds else d.seconds end) as share_of_viewing,
  count(distinct user_id) filter (watched > greatest(1200, 0.8 * coalesce(length, 0))) as engaged_viewers
from viewing v left join slots s on s.date_day = v.date_day and s.start_at = v.start_at and s.end_at = v.end_at
  left join (select date_day, asset_type, sum(watched) as seconds from later group by all) d on d.date_day = v.date_day and d.asset_type = v.asset_type
group by all
"""

PEOPLE = f"""
with fans as (select person_id, count(distinct user_id) as n from user_follow_person where person_id in (select id from person where source = 'molotov') group by all),
followed as (
  select distinct user_id, person_id from user_follow_person join fans using (person_id)
  union all select 0, person_id from fans qualify row_number() over (order by n desc, person_id) <= 20),
u as (select program_id, min(start_at) as next_start_at from broadcast where channel_id in ({FREE}) and start_at >= {DAY} and start_at < {DAY} + 7 group by all),
s as (select user_id, u.program_id, next_start_at, count(*) as people_followed from u join credited using (program_id) join followed using (person_id) group by all)
select *, row_number() over (partition by user_id order by people_followed desc, next_start_at, program_id) as position from s qualify position <= 20
"""

# job, its table, the key and what else is compared, the query
CASES = [
    ("popular", "ml.popular_recommendations", "affinity, position", "program_id, title, hours_watched, bookmarks, score", POPULAR),
    ("this_week", "ml.this_week_recommendations", "affinity, position", "program_id, title, next_start_at, bookmarks, rating, celebrity_points, hours_watched, score", WEEK),
    ("this_week", "ml.this_week_user_recommendations", "user_id, position", "program_id, next_start_at", per_user(WEEK, f"select program_id, min(start_at) as next_start_at from broadcast where channel_id in ({FREE}) and start_at >= {DAY} and start_at < {DAY} + 7 group by all", 30)),
    ("this_day", "ml.this_day_recommendations", "affinity, position", "program_id, channel_id, next_start_at, prime_time, score", TODAYS),
    ("this_day", "ml.this_day_user_recommendations", "user_id, position", "program_id, next_start_at", per_user(TODAYS, TODAY, 20)),
    ("replay", "ml.user_replay_recommendations_history", "user_id, position", "episode_id, program_id, reco_origin, rating", REPLAY),
    ("fact_audience", "dw.fact_audience", "date_day, channel_id, start_at, asset_type", "program_id, episode_id, reach, minutes_watched, average_minute_audience, share_of_viewing, engaged_viewers", AUDIENCE),
    ("personality", "ml.personality_program_recommendations", "user_id, position", "program_id, next_start_at, people_followed", PEOPLE),
]


def same(column):
    """Whether a column is equal on both sides: numbers to a millionth, ratings to the cent that the product reads."""
    within = 0.005000001 if column == "rating" else f"1e-6 * greatest(1, abs(d.{column}))"
    return f"coalesce(abs(m.{column} - d.{column}) <= {within}, m.{column} is null and d.{column} is null)"


def compare(db, table, key, rest, query):
    db.execute(f"create or replace table mine as select {key}, {rest} from read_parquet('.pipe/warehouse/{table.replace('.', '/')}/*.parquet')")
    db.execute(f"create or replace table theirs as select {key}, {rest} from ({query})")
    types = dict(db.execute("select lower(column_name), data_type from duckdb_columns() where table_name = 'theirs'").fetchall())
    number = lambda c: any(word in types[c] for word in ("INT", "DOUBLE", "DECIMAL", "FLOAT"))
    equal = " and ".join(same(c) if number(c) else f"m.{c} is not distinct from d.{c}" for c in rest.split(", "))
    on = " and ".join(f"m.{c} = d.{c}" for c in key.split(", "))
    first = key.split(", ")[0]
    rows = db.execute("select count(*) from theirs").fetchone()[0]
    wrong = db.execute(f"select * from mine m full outer join theirs d on {on} where m.{first} is null or d.{first} is null or not ({equal}) order by all limit 5").fetchall()
    count = db.execute(f"select count(*) from mine m full outer join theirs d on {on} where m.{first} is null or d.{first} is null or not ({equal})").fetchone()[0]
    return rows, count, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipe", default=str(ROOT / "target" / "debug" / "pipe"))
    parser.add_argument("jobs", nargs="*")
    args = parser.parse_args()
    pipe = str(Path(args.pipe).resolve())
    cases = [case for case in CASES if not args.jobs or case[0] in args.jobs]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for part in ("pipelines", "sql", "schemas", "samples"):
            shutil.copytree(ROOT / part, Path(folder) / part)
        shutil.copy(ROOT / "pipe.yaml", folder)
        subprocess.run([pipe, "run", *dict.fromkeys(case[0] for case in cases), "--quiet"], cwd=folder, check=True)
        db = duckdb.connect()
        db.execute(f"set file_search_path = '{folder}'; set timezone = 'UTC'")
        for path in sorted((Path(folder) / "samples").glob("*/*.csv")):
            db.execute(f"create table {path.stem} as select * from read_csv('{path}', header = true, sample_size = -1)")
        if any(case[0] == "replay" for case in cases):
            db.execute("create table program_similarity as from read_parquet('.pipe/warehouse/ml/program_similarity/*.parquet')")
        db.execute(MACROS)
        for job, table, key, rest, query in cases:
            rows, count, wrong = compare(db, table, key, rest, query)
            failed |= count > 0 or rows == 0
            print(f"{'equal' if count == 0 and rows else 'DIFFERS':8} {table:42} {rows:7} rows" + (f", {count} differ" if count else ""))
            for row in wrong:
                print("   ", row)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
