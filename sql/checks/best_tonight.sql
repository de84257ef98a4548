-- The same for what the free offer still shows today; the airing in prime time is the one that counts where there is one.
with tonight as (
  select
    b.program_id,
    max(iff(hour(convert_timezone('UTC', 'Europe/Paris', b.start_at)) between 20 and 22, 1, 0)) as prime_time,
    coalesce(
      min(iff(hour(convert_timezone('UTC', 'Europe/Paris', b.start_at)) between 20 and 22, b.start_at, null)),
      min(b.start_at)
    ) as next_start_at
  from backend.broadcast as b
  where b.start_at >= current_timestamp::timestamp_ntz
    and b.start_at < dateadd(day, 1, current_date)
    and exists (
      select 1
      from backend.rel_tvbundle_channel as r
      where r.channel_id = b.channel_id and r.tvbundle_id in ({{ free_bundles }})
    )
  group by b.program_id
),
figures as (
  {{ figures('tonight', bookmark_days, watch_days, watch_hours_cap) }}
),
bounds as (
  {{ bounds('figures', tonight_weights) }}
)
select
  f.affinity,
  f.program_id,
  f.title,
  t.prime_time,
  t.next_start_at,
  (
    {{- blended(tonight_weights) }}
    + {{ prime_time_weight }} * t.prime_time
  )::float as score
from figures as f
join bounds as b on b.affinity = f.affinity
join tonight as t on t.program_id = f.program_id
qualify row_number() over (partition by f.affinity order by round(score, 6) desc, f.program_id) <= {{ listed_tonight }}
order by f.affinity, score desc, f.program_id
