-- The films that the free offer shows soon, and the followers of their cast and crew.
select a.affinity, p.id as program_id, p.title, coalesce(f.points, 0) as total_celeb_points
from backend.program as p
join external_sources.daily_prog_affinity as a on a.program_id = p.id
left join (
  {{ fame() }}
) as f on f.program_id = p.id
where p.ref_program_category_id in ({{ film_categories }})
  and p.id in (select program_id from ({{ on_air(free_bundles, ahead_days) }}))
order by total_celeb_points desc, program_id
