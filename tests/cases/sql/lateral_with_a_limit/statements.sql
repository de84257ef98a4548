create table b (x int);
insert into b values (1), (2), (3), (4);
select a.x, near.x from b as a, lateral (select x from b where b.x <> a.x order by x limit 2) as near where a.x < 4
order by 1, 2;
