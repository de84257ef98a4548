{# The channels of the free offer. #}
{% macro free_channels(bundles=[25, 90, 26, 31, 60]) -%}
select channel_id
    from backend.rel_tvbundle_channel
    where tvbundle_id in ({{ bundles }})
{%- endmacro %}

{# Broadcasts on the free offer that start between two instants, SQL expressions both: the first included, the last not. #}
{% macro free_broadcasts(first, last) -%}
select program_id, episode_id, channel_id, start_at, end_at
  from backend.broadcast
  where channel_id in (
    {{ free_channels() }}
  )
    and start_at >= {{ first | raw }}
    and start_at < {{ last | raw }}
{%- endmacro %}
