-- What was watched of each episode in the last days, zapping left out, and when somebody first did.
select
  w.episode_id,
  sum(w.duration) / 3600::float as hours_watched,
  count(distinct iff({{ engaged('w.duration', 'e.duration') }}, w.user_id, null)) as engaged_viewers,
  min(w.real_start_at) as first_aired_at
from dw.fact_watch as w
join backend.episode as e on e.id = w.episode_id
where w.real_start_at > current_date - {{ watch_days }}
  and w.real_start_at < current_date
  and w.duration > {{ shortest_watch }}
group by w.episode_id
