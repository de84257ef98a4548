-- Hours that each user lately spent on programmes that credit a person.
with credits as (
  {{ credits() }}
)
select w.user_id, c.person_id, sum(least(w.duration, {{ longest_watch }})) / 3600 as hours_watched
from dw.fact_watch as w
join credits as c on c.program_id = w.program_id
join backend.person as p on p.id = c.person_id
where p.source = 'molotov' and {{ last_days('w.date_day', watch_days) }} and w.duration > 0
group by w.user_id, c.person_id
