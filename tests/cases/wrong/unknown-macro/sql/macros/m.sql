{% macro minmax(column) %}min({{ column | ident }}){% endmacro %}
