-- Programmes on the free offer that credit people a user follows, and who they are.
with upcoming as (
  select program_id, min(start_at) as next_start_at
  from (
    {{ free_broadcasts('current_date', 'current_date + ' ~ horizon_days) }}
  ) as b
  group by program_id
),
credits as (
  {{ credits() }}
)
select
  f.user_id,
  u.program_id,
  p.title,
  u.next_start_at,
  count(*) as people_followed,
  listagg(n.name, ', ') within group (order by n.followers desc, n.person_id) as people
from upcoming as u
join backend.program as p on p.id = u.program_id
join credits as c on c.program_id = u.program_id
join followed as f on f.person_id = c.person_id
join people as n on n.person_id = c.person_id
group by f.user_id, u.program_id, p.title, u.next_start_at
