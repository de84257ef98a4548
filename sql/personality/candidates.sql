-- People whom the followers of a user's people follow too, and people in what the user watches.
with either as (
  select
    coalesce(c.user_id, w.user_id) as user_id,
    coalesce(c.person_id, w.person_id) as person_id,
    coalesce(c.score, 0) as co_follows,
    coalesce(w.hours_watched, 0) as hours_watched
  from co_followed as c
  full outer join watched_people as w on w.user_id = c.user_id and w.person_id = c.person_id
)
select
  e.user_id,
  e.person_id,
  p.name,
  case when e.co_follows = 0 then 'watched' when e.hours_watched = 0 then 'followed together' else 'both' end as reason,
  e.co_follows,
  e.hours_watched,
  p.followers
from either as e
join people as p on p.person_id = e.person_id
