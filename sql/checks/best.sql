-- The whole computation once more: every figure brought to 0..1 within its audience, weighted, the best kept.
with upcoming as (
  {{ on_air(free_bundles, ahead_days) }}
),
figures as (
  {{ figures('upcoming', bookmark_days, watch_days, watch_hours_cap) }}
),
bounds as (
  {{ bounds('figures', weights) }}
)
select
  f.affinity,
  f.program_id,
  f.title,
  (
    {{- blended(weights) }}
  )::float as score
from figures as f
join bounds as b on b.affinity = f.affinity
qualify row_number() over (partition by f.affinity order by round(score, 6) desc, f.program_id) <= {{ listed }}
order by f.affinity, score desc, f.program_id
