create table t (id int, d number(10,2));
insert into t values (1, 1234.56), (2, 0.10);
-- the type of CASE and UNION is that of all their parts, for what is made of them too
with cased as (select id, case when id = 7 then 0.1 else d end as x from t),
united as (select 0.5 as x union all select d from t),
counted as (select 0.5 as x, 1 as n union all select x + 0.7, n + 1 from counted where n < 4)
select 1 as a, count_if(ceil(x) = 0.5) as b, sum(ceil(x)) as c from cased
union all
select 2, count_if(round(x, 1) = 0.5), sum(round(x, 1)) from united
union all
select 3, count_if(x > 2), sum(x) from counted
order by a;
