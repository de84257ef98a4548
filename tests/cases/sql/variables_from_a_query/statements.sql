set (n, t) = (select 1 + 2, 'x');
set (a, b) = (4, 3);
select $n, $t, $a * $b;
