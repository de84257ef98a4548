-- Each other stretch under the last broadcast of its episode on its channel; nobody watches more of that than its length.
with shifted as (
  select * from stretches where asset_type <> 'live'
)
select
  s.date_day, s.asset_type, s.user_id,
  b.channel_id, b.program_id, b.episode_id, b.start_at, b.end_at, b.seconds as broadcast_seconds, b.episode_seconds,
  s.from_at,
  s.until_at,
  least(s.seconds, b.seconds) as seconds
from shifted as s
asof join broadcasts as b
  match_condition (s.from_at >= b.start_at)
  on s.channel_id = b.channel_id and s.program_id = b.program_id and s.episode_id = b.episode_id
where b.start_at is not null
