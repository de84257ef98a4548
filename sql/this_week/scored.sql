-- Every figure brought to 0..1 within its audience, then blended.
select
  affinity,
  program_id,
  title,
  next_start_at,
  bookmarks,
  rating,
  celebrity_points,
  hours_watched,
  round(
    {{ weights.bookmarks }} * {{ minmax('bookmarks', 'affinity') }}
    + {{ weights.rating }} * {{ minmax('rating', 'affinity') }}
    + {{ weights.celebrity_points }} * {{ minmax('celebrity_points', 'affinity') }}
    + {{ weights.hours_watched }} * {{ minmax('hours_watched', 'affinity') }}, 6) as score
from candidates
