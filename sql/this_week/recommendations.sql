-- The best of each audience; equal scores go to the lower programme number.
select
  affinity,
  row_number() over (partition by affinity order by score desc, program_id) as position,
  program_id, title, next_start_at, score, bookmarks, rating, celebrity_points, hours_watched
from scored
qualify position <= {{ top }}
