-- Stretches of watching of the days that are built.
select
  w.date_day,
  w.user_id,
  w.channel_id,
  w.program_id,
  coalesce(w.episode_id, o.episode_id) as episode_id,
  w.asset_type,
  w.real_start_at as from_at,
  dateadd('second', w.duration, w.real_start_at) as until_at,
  w.duration as seconds
from dw.fact_watch as w
left join (
  {{ only_episodes() }}
) as o on o.program_id = w.program_id
where w.date_day >= {{ interval.start }}
  and w.date_day < {{ interval.end }}
  and w.duration > 0
