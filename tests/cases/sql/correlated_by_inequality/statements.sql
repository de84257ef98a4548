create table b (x int);
insert into b values (1), (2), (3), (null);
select a.x, (select count(*) from b where b.x < a.x) as below, (select max(b.x) from b where b.x < a.x) as greatest,
  (select count(*) from b where b.x < a.x and b.x > a.x - 2) as near,
  (select listagg(b.x, ',') within group (order by b.x) from b where b.x < a.x) as list,
  (select max(b.x) from b where b.x <> a.x) as other
from b as a order by a.x;
