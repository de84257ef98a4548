{# Everyone credited on a programme or on one of its episodes, each person once. #}
{% macro credits() -%}
select program_id, person_id
  from backend.rel_program_person
  union
  select e.program_id, r.person_id
  from backend.rel_episode_person as r
  join backend.episode as e on e.id = r.episode_id
{%- endmacro %}
