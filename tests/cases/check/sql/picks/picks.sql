with scored as (
  select
    program_id,
    title,
    {{ weights.bookmarks }} * coalesce(bookmarks / nullif(max(bookmarks) over (), 0), 0)
    + {{ weights.rating }} * coalesce(rating / nullif(max(rating) over (), 0), 0)
    + {{ weights.hours }} * coalesce(hours / nullif(max(hours) over (), 0), 0) as score
  from candidates
)
select *, row_number() over (order by score desc, program_id) as position
from scored
