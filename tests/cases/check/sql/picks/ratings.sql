select program_id, avg(rating) as rating
from tv.rating
where service = 2
group by program_id
