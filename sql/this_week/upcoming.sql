-- Programmes broadcast on the free offer within the horizon, and when they are on next.
select program_id, min(start_at) as next_start_at, count(*) as broadcasts
from (
  {{ free_broadcasts('current_date', 'current_date + ' ~ horizon_days) }}
) as b
group by program_id
