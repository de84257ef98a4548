-- Programmes broadcast on the free offer within the horizon, and when they are on next.
select
  b.program_id,
  min(b.start_at) as next_start_at,
  count(*) as broadcasts
from backend.broadcast as b
where b.channel_id in (
    select channel_id
    from backend.rel_tvbundle_channel
    where tvbundle_id in ({{ free_bundles }})
  )
  and b.start_at >= current_date
  and b.start_at < current_date + {{ horizon_days }}
group by b.program_id
