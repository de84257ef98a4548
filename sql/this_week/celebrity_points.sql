-- Followers of everyone credited on the programme or on one of its episodes; each person counts once.
with credits as (
  select program_id, person_id
  from backend.rel_program_person
  union
  select e.program_id, r.person_id
  from backend.rel_episode_person as r
  join backend.episode as e on e.id = r.episode_id
),
followers as (
  select person_id, count(*) as followers
  from backend.user_follow_person
  group by person_id
)
select c.program_id, sum(f.followers) as celebrity_points
from credits as c
join backend.person as p on p.id = c.person_id
join followers as f on f.person_id = c.person_id
where p.source = 'molotov'
group by c.program_id
