-- What each user watched for long enough to have liked it.
select user_id, program_id, date_day, real_start_at, duration
from dw.fact_watch
where {{ last_days('date_day', watch_days) }} and duration >= {{ liked_after }}
