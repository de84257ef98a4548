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
