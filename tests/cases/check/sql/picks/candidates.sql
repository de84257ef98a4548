select
  o.program_id, p.title,
  coalesce(b.bookmarks, 0) as bookmarks,
  coalesce(r.rating, 0) as rating,
  coalesce(w.hours, 0) as hours
from on_air as o
join tv.program as p on p.id = o.program_id
left join bookmarks as b on b.program_id = o.program_id
left join ratings as r on r.program_id = o.program_id
left join watches as w on w.program_id = o.program_id
