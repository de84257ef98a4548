-- For each user, what the free offer shows with people they follow, and how many of them it credits.
with shown as (
  select distinct program_id from ({{ on_air(free_bundles, ahead_days) }})
)
select f.user_id, s.program_id, count(distinct f.person_id) as people
from shown as s
join backend.program as p on p.id = s.program_id
join backend.user_follow_person as f
join backend.person as n on n.id = f.person_id and n.source = 'molotov'
where f.person_id in (select r.person_id from backend.rel_program_person as r where r.program_id = s.program_id)
  or exists (
    select 1
    from backend.episode as e
    join backend.rel_episode_person as r on r.episode_id = e.id
    where e.program_id = s.program_id and r.person_id = f.person_id
  )
group by f.user_id, s.program_id
order by people desc, user_id, program_id
