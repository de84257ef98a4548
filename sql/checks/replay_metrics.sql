-- What is on replay now, and how much it was watched: in all, on replay, and by how many for more than half a minute.
with viewing as (
  select
    program_id,
    sum(iff(asset_type = 'replay', duration, 0)) / 3600 as hours_on_replay,
    count(distinct iff(asset_type = 'replay' and duration > 30, user_id, null)) as people_on_replay
  from dw.fact_watch
  where date_day between current_date - {{ watch_days }} and current_date - 1
  group by program_id
)
select p.id as program_id, p.title, h.hours as hours_watched, v.hours_on_replay, v.people_on_replay
from backend.program as p
join (
  {{ viewing_hours(watch_days, watch_hours_cap) }}
) as h on h.program_id = p.id
join viewing as v on v.program_id = p.id
where p.id in ({{ on_replay() }})
order by people_on_replay desc, program_id
