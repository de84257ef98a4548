-- Each user's share of time per programme.
select user_id, program_id, ratio_to_report(sum(least(duration, {{ longest_watch }}))::float) over (partition by user_id) as share
from dw.fact_watch
where {{ last_days('date_day', watch_days) }} and duration > 0
group by user_id, program_id
