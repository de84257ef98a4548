{# Brings a column to 0..1 within a group; a column that is the same everywhere counts 0. #}
{% macro minmax(column, partition) -%}
coalesce(
    ({{ column | ident }} - min({{ column | ident }}) over (partition by {{ partition | ident }}))
    / nullif(max({{ column | ident }}) over (partition by {{ partition | ident }}) - min({{ column | ident }}) over (partition by {{ partition | ident }}), 0),
    0)
{%- endmacro %}
