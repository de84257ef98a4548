-- Every programme that somebody watched or bookmarked lately, once per audience.
select
  a.affinity,
  p.id as program_id,
  p.title,
  coalesce(w.hours_watched, 0) as hours_watched,
  coalesce(b.bookmarks, 0) as bookmarks
from external_sources.daily_prog_affinity as a
join backend.program as p on p.id = a.program_id
left join watches as w on w.program_id = p.id
left join bookmarks as b on b.program_id = p.id
where w.hours_watched > 0 or b.bookmarks > 0
