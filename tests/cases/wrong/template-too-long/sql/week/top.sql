{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}
