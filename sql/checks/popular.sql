-- What everyone watches and bookmarks: both figures brought to 0..1 over all audiences at once, the mean of the two.
with figures as (
  select
    a.affinity,
    p.id as program_id,
    p.title,
    coalesce(h.hours, 0)::float as hours,
    coalesce(b.bookmarks, 0)::float as bookmarks
  from backend.program as p
  join external_sources.daily_prog_affinity as a on a.program_id = p.id
  left join ({{ viewing_hours(watch_days, watch_hours_cap) }}) as h on h.program_id = p.id
  left join ({{ bookmarkers(bookmark_days) }}) as b on b.program_id = p.id
  where coalesce(h.hours, 0) > 0 or b.bookmarks is not null
),
bounds as (
  select min(hours) as least_hours, max(hours) as most_hours, min(bookmarks) as least_bookmarks, max(bookmarks) as most_bookmarks
  from figures
)
select
  f.affinity,
  f.program_id,
  f.title,
  coalesce((f.hours - b.least_hours) / nullif(b.most_hours - b.least_hours, 0), 0) / 2
    + coalesce((f.bookmarks - b.least_bookmarks) / nullif(b.most_bookmarks - b.least_bookmarks, 0), 0) / 2 as score
from figures as f
cross join bounds as b
qualify row_number() over (partition by f.affinity order by round(score, 6) desc, f.program_id) <= {{ listed_popular }}
order by score desc, f.affinity, f.program_id
