-- One row per day of watching, channel, broadcast and way of watching.
with viewing as (
  select * from live
  union all
  select * from time_shifted
)
select
  v.date_day,
  v.channel_id,
  v.start_at,
  v.end_at,
  v.program_id,
  v.episode_id,
  v.asset_type,
  count(distinct iff(v.seconds >= {{ reached_after }}, v.user_id, null)) as reach,
  sum(v.seconds) / 60 as minutes_watched,
  sum(v.seconds) / v.broadcast_seconds as average_minute_audience,
  sum(v.seconds) / s.seconds as share_of_viewing,
  count(distinct iff({{ engaged('v.seconds', 'v.episode_seconds') }}, v.user_id, null)) as engaged_viewers
from viewing as v
join slots as s
  on s.date_day = v.date_day and s.asset_type = v.asset_type and s.start_at = v.start_at and s.end_at = v.end_at
group by
  v.date_day, v.channel_id, v.start_at, v.end_at, v.program_id, v.episode_id, v.asset_type, v.broadcast_seconds, s.seconds
