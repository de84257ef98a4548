-- Episodes on replay by what was watched of them for more than a quarter of an hour in the last week. An episode loses half
-- its weight until its greatest age: a week for films, series and documentaries, three days for all else.
with watched as (
  select
    w.episode_id,
    sum(w.duration) / 3600 as hours,
    count(distinct iff(w.duration > greatest(1200, 0.8 * e.duration), w.user_id, null)) as engaged,
    min(w.real_start_at) as first_aired_at
  from dw.fact_watch as w
  join backend.episode as e on e.id = w.episode_id
  where w.real_start_at > current_date - 7
    and w.real_start_at < current_date
    and w.duration > 900
  group by w.episode_id
),
aged as (
  select
    e.id as episode_id,
    p.title,
    w.hours,
    w.engaged,
    w.first_aired_at,
    datediff('day', w.first_aired_at, current_date) as age,
    iff(p.ref_program_category_id in (1, 2, 8), 7, 3) as max_age
  from watched as w
  join backend.episode as e on e.id = w.episode_id
  join backend.program as p on p.id = e.program_id
  where not (p.ref_program_category_id = 4 and p.ref_program_kind_id in (36, 43))
    and e.id in (
      select v.episode_id
      from backend.vod as v
      join backend.rel_tvbundle_channel as c on c.channel_id = v.channel_id
      join backend.tvbundle as t on t.id = c.tvbundle_id and t.is_commercialized = 1
      where v.video_type = 'REPLAY'
        and v.disabled = 0
        and coalesce(v.withdrawn_at, v.deleted_at) is null
        and current_date between v.available_from and v.available_until
    )
)
select
  episode_id,
  title,
  hours * (1 - 0.5 * age / max_age) as weighted_hours,
  engaged * (1 - 0.5 * age / max_age) as weighted_engaged_viewers,
  first_aired_at,
  age
from aged
where age <= max_age
order by weighted_engaged_viewers desc, episode_id
