select 1 as id
{% include 'parts/filtr.sql' %}
