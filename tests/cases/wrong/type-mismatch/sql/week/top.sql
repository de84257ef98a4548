select id
from tv.program
where start_at > 5
