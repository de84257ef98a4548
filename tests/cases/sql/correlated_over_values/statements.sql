select a.x, (select sum(b.column1) from (values (1), (2), (3)) as b where b.column1 < a.x) as total
from (select 3 as x union all select 2) as a order by a.x;
