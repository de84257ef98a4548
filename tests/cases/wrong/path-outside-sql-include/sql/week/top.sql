select 1 as id
{% include '../pipe.yaml' %}
