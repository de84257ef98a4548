-- Each user's list: the audiences' lists weighted by how much of the user's time goes to each audience.
with weighted as (
  select a.user_id, r.program_id, r.title, r.next_start_at, sum(a.share * r.score) as score
  from user_affinities as a
  join recommendations as r on r.affinity = a.affinity
  group by a.user_id, r.program_id, r.title, r.next_start_at
)
select
  user_id,
  row_number() over (partition by user_id order by score desc, program_id) as position,
  program_id, title, next_start_at, round(score, 6) as score
from weighted
qualify position <= {{ top }}
