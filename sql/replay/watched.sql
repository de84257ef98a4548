-- What each user has watched of, however little; a watch without an episode is of the programme's only one.
select distinct w.user_id, coalesce(w.episode_id, o.episode_id) as episode_id
from dw.fact_watch as w
left join (
  {{ only_episodes() }}
) as o on o.program_id = w.program_id
where w.real_start_at < current_timestamp::timestamp_ntz
