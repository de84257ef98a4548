-- The whole computation once more: every figure brought to 0..1 within its audience, weighted, the best kept.
with figures as (
  select
    a.affinity,
    p.id as program_id,
    p.title,
    coalesce(b.bookmarks, 0) as bookmarks,
    coalesce(r.rating, 0) as rating,
    coalesce(f.points, 0) as celebrity_points,
    coalesce(h.hours, 0) as hours_watched
  from backend.program as p
  join external_sources.daily_prog_affinity as a on a.program_id = p.id
  left join (
    select program_id, count(distinct user_id) as bookmarks
    from backend.scheduled_recording
    where scheduled_at > dateadd(day, -{{ bookmark_days }}, current_date)
    group by program_id
  ) as b on b.program_id = p.id
  left join ({{ spectators() }}) as r on r.program_id = p.id
  left join ({{ fame() }}) as f on f.program_id = p.id
  left join ({{ viewing_hours(watch_days, watch_hours_cap) }}) as h on h.program_id = p.id
  where p.id in (select program_id from ({{ on_air(free_bundles, ahead_days) }}))
),
bounds as (
  select
    affinity,
    {%- for name in weights %}
    min({{ name | ident }}) as least_{{ name | raw }},
    nullif(max({{ name | ident }}) - min({{ name | ident }}), 0) as width_{{ name | raw }}{% if not loop.last %},{% endif %}
    {%- endfor %}
  from figures
  group by affinity
)
select
  f.affinity,
  f.program_id,
  f.title,
  (
    {%- for name, weight in weights | items %}
    {% if not loop.first %}+ {% endif %}{{ weight }} * coalesce((f.{{ name | ident }} - b.least_{{ name | raw }})::float / b.width_{{ name | raw }}, 0)
    {%- endfor %}
  )::float as score
from figures as f
join bounds as b on b.affinity = f.affinity
qualify row_number() over (partition by f.affinity order by round(score, 6) desc, f.program_id) <= {{ listed }}
order by f.affinity, score desc, f.program_id
