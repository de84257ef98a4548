-- The films that the free offer shows soon, and their rating.
select a.affinity, p.id as program_id, p.title, coalesce(r.rating, 0) as rating
from backend.program as p
join external_sources.daily_prog_affinity as a on a.program_id = p.id
left join (
  {{ spectators() }}
) as r on r.program_id = p.id
where p.ref_program_category_id in ({{ film_categories }})
  and p.id in (select program_id from ({{ on_air(free_bundles, ahead_days) }}))
order by rating desc, program_id
