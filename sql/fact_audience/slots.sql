-- All that was watched at the time of a broadcast, on whatever channel; time-shifted viewing has the whole day for its slot.
-- What was watched until an instant is the sum, over all stretches that began before, of the seconds since then, less the same
-- for those that ended before: two running sums. A slot has what was watched until its end less what was until its start.
with points as (
  select date_day, from_at as moment, 1 as weight from live
  union all
  select date_day, until_at, -1 from live
  union all
  select distinct date_day, start_at, 0 from live
  union all
  select distinct date_day, end_at, 0 from live
),
watched as (
  select
    date_day, moment,
    sum(weight) over (partition by date_day order by moment rows between unbounded preceding and current row)
      * date_part('epoch_second', moment)
      - sum(weight * date_part('epoch_second', moment))
        over (partition by date_day order by moment rows between unbounded preceding and current row) as seconds
  from points
),
watched_until as (
  select date_day, moment, max(seconds) as seconds from watched group by date_day, moment
),
live_slots as (
  select distinct date_day, asset_type, start_at, end_at from live
),
time_shifted_days as (
  select date_day, asset_type, sum(seconds) as seconds from time_shifted group by date_day, asset_type
)
select s.date_day, s.asset_type, s.start_at, s.end_at, e.seconds - b.seconds as seconds
from live_slots as s
join watched_until as b on b.date_day = s.date_day and b.moment = s.start_at
join watched_until as e on e.date_day = s.date_day and e.moment = s.end_at
union all
select distinct v.date_day, v.asset_type, v.start_at, v.end_at, d.seconds
from time_shifted as v
join time_shifted_days as d on d.date_day = v.date_day and d.asset_type = v.asset_type
