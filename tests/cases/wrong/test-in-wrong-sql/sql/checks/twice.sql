select id
from top
group by idd
