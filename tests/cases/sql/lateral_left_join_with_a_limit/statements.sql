create table b (x int);
insert into b values (1), (2), (3);
select a.x, below.y
from b as a left join lateral (select x as y from b where b.x < a.x order by y desc limit 1) as below on true
order by 1;
