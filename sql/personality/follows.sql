-- Who follows whom, each pair once.
select distinct f.user_id, f.person_id
from backend.user_follow_person as f
join backend.person as p on p.id = f.person_id
where p.source = 'molotov'
