-- The weightiest episodes for every user: their weight, raised by the user's affinity and by likeness to what they watched.
-- User 0 has neither, so that the weights alone make the default list.
with users as (
  select distinct user_id from user_affinities
),
pool as (
  select *
  from weighted
  qualify row_number() over (order by weighted_hours desc, episode_id) <= {{ pool }}
),
scored as (
  select
    u.user_id,
    w.episode_id,
    w.program_id,
    w.title,
    w.weighted_hours,
    w.weighted_engaged_viewers,
    {{ boost.affinity }} * coalesce(a.share, 0) as affinity,
    {{ boost.similar }} * least(coalesce(s.score, 0), 1) as likeness
  from users as u
  cross join pool as w
  left join audience_shares as a on a.user_id = u.user_id and a.program_id = w.program_id
  left join similar_programs as s on s.user_id = u.user_id and s.program_id = w.program_id
)
select
  user_id, episode_id, program_id, title, weighted_hours, weighted_engaged_viewers,
  case when affinity = 0 and likeness = 0 then 'top_replay' when affinity >= likeness then 'affinity' else 'similar' end as reco_origin,
  weighted_hours * (1 + affinity + likeness) as rating
from scored
