select
  program_id,
  title,
  {{ weights.bookmarks }} * bookmarks / max(bookmarks) over ()
  + {{ weights.rating }} * rating / max(rating) over ()
  + {{ weights.hours }} * hours / max(hours) over () as score,
  row_number() over (order by score desc, program_id) as position
from candidates
