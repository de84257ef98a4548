select program_id, sum(duration) / 3600 as hours
from tv.watch
where day >= current_date - {{ days }} and day < current_date
group by program_id
