-- Hours watched per programme.
select program_id, sum(duration) / 3600 as hours
from tv.watch
where started_at >= dateadd(day, -{{ days }}, current_date)
group by program_id
