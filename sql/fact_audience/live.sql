-- The part of each live stretch that lies inside the broadcast of its programme.
select
  s.date_day, s.asset_type, s.user_id,
  b.channel_id, b.program_id, b.episode_id, b.start_at, b.end_at, b.seconds as broadcast_seconds, b.episode_seconds,
  greatest(s.from_at, b.start_at) as from_at,
  least(s.until_at, b.end_at) as until_at,
  datediff('second', greatest(s.from_at, b.start_at), least(s.until_at, b.end_at)) as seconds
from stretches as s
join broadcasts as b
  on b.channel_id = s.channel_id
  and b.program_id = s.program_id
  and b.start_at < s.until_at
  and b.end_at > s.from_at
where s.asset_type = 'live'
