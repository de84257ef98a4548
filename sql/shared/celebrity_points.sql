-- Followers of everyone credited on the programme or on one of its episodes; each person counts once.
with credits as (
  {{ credits() }}
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
