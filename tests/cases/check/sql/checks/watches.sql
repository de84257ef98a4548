select program_id, sum(duration / 3600) as hours
from tv.watch
where day between current_date - {{ days }} and current_date - 1
group by program_id
order by hours desc
