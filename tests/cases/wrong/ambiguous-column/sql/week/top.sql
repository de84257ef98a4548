select id
from tv.program as p
join tv.rating as r on r.id = p.id
