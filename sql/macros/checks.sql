{# What several sanity checks look at; the jobs have their own ways. #}

{# Programmes with an episode that anybody with a commercial offer can watch on replay now. #}
{% macro on_replay() -%}
select e.program_id
  from backend.episode as e
  join backend.vod as v on v.episode_id = e.id
  join backend.rel_tvbundle_channel as c on c.channel_id = v.channel_id
  join backend.tvbundle as t on t.id = c.tvbundle_id and t.is_commercialized = 1
  where v.disabled = 0
    and coalesce(v.withdrawn_at, v.deleted_at) is null
    and current_date between v.available_from and v.available_until
{%- endmacro %}

{# Programmes that start on a channel of these bundles from today on, within so many days. #}
{% macro on_air(bundles, days) -%}
select b.program_id, b.start_at
  from backend.broadcast as b
  join (
    select distinct channel_id from backend.rel_tvbundle_channel where tvbundle_id in ({{ bundles }})
  ) as c on c.channel_id = b.channel_id
  where b.start_at >= current_date and b.start_at < dateadd(day, {{ days }}, current_date)
{%- endmacro %}

{# Followers of everybody whom a programme or one of its episodes credits. #}
{% macro fame() -%}
select r.program_id, count(f.person_id) as points
  from (
    select program_id, person_id from backend.rel_program_person
    union
    select e.program_id, x.person_id
    from backend.episode as e
    join backend.rel_episode_person as x on x.episode_id = e.id
  ) as r
  join backend.person as p on p.id = r.person_id and p.source = 'molotov'
  left join backend.user_follow_person as f on f.person_id = p.id
  group by r.program_id
{%- endmacro %}

{# The mean of what spectators gave on AlloCiné. #}
{% macro spectators() -%}
select program_id, avg(rating) as rating
  from backend.program_rating
  where program_rating_services_id = 2 and program_rating_type_id = 2
  group by program_id
{%- endmacro %}

{# Hours watched in the last complete days. #}
{% macro viewing_hours(days, cap) -%}
select program_id, sum(iff(duration > 3600 * {{ cap }}, 3600 * {{ cap }}, duration)) / 3600 as hours
  from dw.fact_watch
  where date_day between current_date - {{ days }} and current_date - 1
  group by program_id
{%- endmacro %}

{# What speaks for each programme of `programs`, a query's name, once per audience. #}
{% macro figures(programs, bookmark_days, watch_days, watch_hours_cap) -%}
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
  left join ({{ bookmarkers(bookmark_days) }}) as b on b.program_id = p.id
  left join ({{ spectators() }}) as r on r.program_id = p.id
  left join ({{ fame() }}) as f on f.program_id = p.id
  left join ({{ viewing_hours(watch_days, watch_hours_cap) }}) as h on h.program_id = p.id
  where p.id in (select program_id from {{ programs | ident }})
{%- endmacro %}

{# Distinct users who bookmarked a programme in the last days. #}
{% macro bookmarkers(days) -%}
select program_id, count(distinct user_id) as bookmarks
  from backend.scheduled_recording
  where scheduled_at > dateadd(day, -{{ days }}, current_date)
  group by program_id
{%- endmacro %}

{# The least of each weighted figure, and how far its greatest is from it; of each audience. #}
{% macro bounds(figures, weights) -%}
select
    affinity,
    {%- for name in weights %}
    min({{ name | ident }}) as least_{{ name | raw }},
    nullif(max({{ name | ident }}) - min({{ name | ident }}), 0) as width_{{ name | raw }}{% if not loop.last %},{% endif %}
    {%- endfor %}
  from {{ figures | ident }}
  group by affinity
{%- endmacro %}

{# Figures `f`, each brought to 0..1 by its bounds `b`, weighted and added up. #}
{% macro blended(weights) -%}
{%- for name, weight in weights | items %}
    {% if not loop.first %}+ {% endif %}{{ weight }} * coalesce((f.{{ name | ident }} - b.least_{{ name | raw }})::float / b.width_{{ name | raw }}, 0)
    {%- endfor %}
{%- endmacro %}
