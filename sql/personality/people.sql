-- People by name, with how many follow them.
select
  p.id as person_id,
  trim(coalesce(p.first_name, '') || ' ' || p.last_name) as name,
  'popular' as reason,
  count(f.user_id) as followers,
  count(f.user_id) / nullif(max(count(f.user_id)) over (), 0) as popularity
from backend.person as p
left join follows as f on f.person_id = p.id
where p.source = 'molotov'
group by p.id, p.first_name, p.last_name
