create table l (k int, t int);
insert into l values (1, 10), (1, 15), (1, 20), (1, 25);
create table r (k int, t number(10, 2), v varchar);
insert into r values (1, 10, 'ten'), (1, 20, 'twenty'), (2, 15, 'other'), (1, 10, 'again ten');
-- of the two rows at 10 the greater text is the last one, the smaller the first; the sides may stand in either order
select l.t, a.v as not_after, b.v as earlier, c.v as not_before, d.v as later, e.v as turned
from l
asof join r as a match_condition (l.t >= a.t) on l.k = a.k
asof join r as b match_condition (l.t > b.t) on l.k = b.k
asof join r as c match_condition (l.t <= c.t) on l.k = c.k
asof join r as d match_condition (l.t < d.t) on l.k = d.k
asof join r as e match_condition (e.t <= l.t) on e.k = l.k
where l.t < 26 and a.v is not null
order by l.t;
