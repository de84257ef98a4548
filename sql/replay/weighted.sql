-- Hours watched and engaged viewers, halved by the time an episode reaches its greatest age; older ones are out.
with aged as (
  select a.*, w.hours_watched, w.engaged_viewers, w.first_aired_at, datediff('day', w.first_aired_at, current_date) as age
  from available as a
  join watches as w on w.episode_id = a.episode_id
)
select
  *,
  hours_watched * (1 - 0.5 * age::float / max_age) as weighted_hours,
  engaged_viewers * (1 - 0.5 * age::float / max_age) as weighted_engaged_viewers
from aged
where age <= max_age
