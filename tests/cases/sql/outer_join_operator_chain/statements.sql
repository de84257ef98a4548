create table a (x int);
create table b (x int, y int);
create table c (y int, z varchar);
insert into a values (1), (2), (3);
insert into b values (1, 10), (2, 20);
insert into c values (10, 'ten');
select a.x, b.y, c.z from c, a, b where b.y = c.y(+) and a.x = b.x(+) order by a.x;
