set (low, name) = (1 + 1, 'numbers');
create table numbers (n int);
insert into numbers values (1), (2), (3);
set top = (select max(n) from numbers);
select n, $top from identifier($name) where n >= $low order by n;
