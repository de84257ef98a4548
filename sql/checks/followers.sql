-- Followers of each person; nobody follows anyone twice.
select p.id as person_id, p.first_name, p.last_name, count(distinct f.user_id) as followers
from backend.person as p
left join backend.user_follow_person as f on f.person_id = p.id
where p.source = 'molotov'
group by p.id, p.first_name, p.last_name
order by followers desc, person_id
