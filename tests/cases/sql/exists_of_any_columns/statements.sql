create table l (u int, p int);
create table b (u int, p int);
insert into l values (1, 1), (1, 2), (2, 1);
insert into b values (1, 1), (1, null);
select 'there' as is_it, u, p from l where exists (select * from b where b.u = l.u and b.p = l.p)
union all
select 'not there', u, p from l where not exists (select p from b where b.u = l.u and b.p = l.p)
order by u, p;
