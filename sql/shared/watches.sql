-- Hours watched lately. A player left open for a day counts as one long evening.
select program_id, sum(least(duration, {{ longest_watch }})) / 3600 as hours_watched
from dw.fact_watch
where {{ last_days('date_day', watch_days) }}
group by program_id
