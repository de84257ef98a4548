-- 1 as an integer, as a decimal and as a float are equal VARIANTs; 0 and -0 are equal floats
create table v (v variant, f float) as
select to_variant(1), 0::float union all select parse_json('1.0'), '-0'::float union all select to_variant(1::float), '-0.0'::float;
select 'group' as how, count(*) as n from (select v from v group by v)
union all select 'distinct', count(*) from (select distinct v from v)
union all select 'count', count(distinct v) from v
union all select 'array', count(*) from (select distinct array_construct(v) from v)
union all select 'object', count(*) from (select distinct object_construct('k', v) from v)
union all select 'partition', max(n) from (select count(*) over (partition by v) as n from v)
union all select 'zeros', count(*) from (select distinct f from v)
union all select 'zeros of two', count(distinct f, 1) from v
union all select 'zeros in order', max(n) from (select rank() over (order by f) as n from v)
order by how;
