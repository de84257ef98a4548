-- The schedule, with the episode where the programme has only one, and the episode's length.
select
  b.channel_id,
  b.program_id,
  coalesce(b.episode_id, o.episode_id) as episode_id,
  b.start_at,
  b.end_at,
  datediff('second', b.start_at, b.end_at) as seconds,
  coalesce(e.duration, p.duration) as episode_seconds
from backend.broadcast as b
join backend.program as p on p.id = b.program_id
left join (
  {{ only_episodes() }}
) as o on o.program_id = b.program_id
left join backend.episode as e on e.id = coalesce(b.episode_id, o.episode_id)
where b.start_at < current_date + 1
  and b.end_at > b.start_at
