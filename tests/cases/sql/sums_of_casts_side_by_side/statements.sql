select sum(x), sum(x::float), sum(x) over (), sum(x::float) over () from values (1), (2) as t (x) group by x order by x;
