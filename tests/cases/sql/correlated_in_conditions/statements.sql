-- in WHERE, and over groups in HAVING
create table t (g varchar, x int);
insert into t values ('g', 1), ('g', 2), ('g', 3), ('h', 9), ('i', 0);
select a.g, max(x) as most from t as a
where x >= (select avg(b.x) from t as b where b.g = a.g and b.x <= a.x)
group by a.g
having max(x) > (select min(d.x) from t as d where d.g > a.g)
order by a.g;
