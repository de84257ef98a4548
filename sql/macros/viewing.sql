{# Whether a viewer was engaged: more than 20 minutes and more than 80 % of the episode; both in seconds. #}
{% macro engaged(watched, episode) -%}
{{ watched | raw }} > greatest(20 * 60, 0.8 * coalesce({{ episode | raw }}, 0))
{%- endmacro %}

{# Complete days up to yesterday, this many. #}
{% macro last_days(column, days) -%}
{{ column | raw }} >= current_date - {{ days }} and {{ column | raw }} < current_date
{%- endmacro %}

{# The episode of programmes that have one only: what is known of the programme is known of it. #}
{% macro only_episodes() -%}
select program_id, min(id) as episode_id
  from backend.episode
  group by program_id
  having count(*) = 1
{%- endmacro %}
