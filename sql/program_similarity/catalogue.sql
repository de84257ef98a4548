-- The programmes to compare: all, or those on certain channels or bundles, broadcast or on demand.
with everything as (
  select program_id, channel_id from backend.broadcast
  union
  select e.program_id, v.channel_id
  from backend.vod as v
  join backend.episode as e on e.id = v.episode_id
)
select id as program_id, ref_program_category_id as category, synopsis
from backend.program
{% if channels or bundles -%}
where id in (
  select x.program_id
  from everything as x
  join backend.channel as c on c.id = x.channel_id
  where {% if channels %}c.name in ({{ channels }}){% else %}false{% endif %}
    {% if bundles %}or c.id in ({{ free_channels(bundles) }}){% endif %}
)
{%- endif %}
