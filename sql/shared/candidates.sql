-- One row per audience and upcoming programme, with everything that speaks for it.
select
  a.affinity,
  p.title,
  u.*,
  coalesce(b.bookmarks, 0) as bookmarks,
  coalesce(r.rating, 0) as rating,
  coalesce(c.celebrity_points, 0) as celebrity_points,
  coalesce(w.hours_watched, 0) as hours_watched
from upcoming as u
join backend.program as p on p.id = u.program_id
join external_sources.daily_prog_affinity as a on a.program_id = u.program_id
left join bookmarks as b on b.program_id = u.program_id
left join ratings as r on r.program_id = u.program_id
left join celebrity_points as c on c.program_id = u.program_id
left join watches as w on w.program_id = u.program_id
