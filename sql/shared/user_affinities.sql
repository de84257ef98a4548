-- Each user's share of time per audience. User 0 stands for everyone without a history of their own.
with watched as (
  select w.user_id, a.affinity, sum(least(w.duration, {{ longest_watch }})) as seconds
  from dw.fact_watch as w
  join external_sources.daily_prog_affinity as a on a.program_id = w.program_id
  where {{ last_days('w.date_day', watch_days) }} and w.duration > 0
  group by w.user_id, a.affinity
),
everyone as (
  select user_id, affinity, seconds from watched
  union all
  select 0 as user_id, affinity, sum(seconds) as seconds from watched group by affinity
)
select user_id, affinity, seconds::float / sum(seconds) over (partition by user_id) as share
from everyone
