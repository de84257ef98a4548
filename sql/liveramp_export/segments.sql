-- Which segments each user belongs to.
select user_id, 'audience: ' || lower(affinity) as segment
from user_affinities
where user_id <> 0 and share >= {{ least_share }}
union all
select user_id, 'heavy viewer' as segment
from dw.fact_watch
where {{ last_days('date_day', watch_days) }}
group by user_id
having sum(least(duration, {{ longest_watch }})) >= {{ least_hours }} * 3600
union all
select distinct user_id, 'watches on ' || device_type as segment
from dw.fact_watch
where {{ last_days('date_day', watch_days) }} and duration >= 60
