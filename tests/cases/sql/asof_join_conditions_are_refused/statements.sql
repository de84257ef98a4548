create table l (k int, t int);
create table r (k int, t int);
select l.k from l asof join r match_condition (l.t >= r.t) on l.k = r.k or l.k = 1;
