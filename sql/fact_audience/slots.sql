-- All that was watched at the time of a broadcast, on whatever channel; time-shifted viewing has the whole day for its slot.
with live_slots as (
  select distinct date_day, asset_type, start_at, end_at from live
),
time_shifted_days as (
  select date_day, asset_type, sum(seconds) as seconds from time_shifted group by date_day, asset_type
)
select
  l.date_day, l.asset_type, l.start_at, l.end_at,
  sum(datediff('second', greatest(v.from_at, l.start_at), least(v.until_at, l.end_at))) as seconds
from live_slots as l
join live as v on v.date_day = l.date_day and v.from_at < l.end_at and v.until_at > l.start_at
group by l.date_day, l.asset_type, l.start_at, l.end_at
union all
select distinct v.date_day, v.asset_type, v.start_at, v.end_at, d.seconds
from time_shifted as v
join time_shifted_days as d on d.date_day = v.date_day and d.asset_type = v.asset_type
