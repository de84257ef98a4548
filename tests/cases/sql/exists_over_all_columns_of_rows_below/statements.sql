create table b (x int);
insert into b values (1), (2), (3);
select a.x, exists (select 1 from b where b.x < a.x) as some_below,
  (select b.x from b where b.x < a.x order by b.x desc limit 1) as next_below
from b as a order by a.x;
