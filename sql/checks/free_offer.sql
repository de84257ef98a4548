-- What the free offer shows from today on.
select program_id, min(start_at) as next_start_at, count(*) as broadcasts
from ({{ on_air(free_bundles, ahead_days) }})
group by program_id
order by next_start_at, program_id
