select 1 as id
{% if days %}
where true
