create table t (a int, b int);
insert into t values (1, 1), (2, null), (3, 3);
-- b of the row itself is NULL for 2: whether 2 is in it is unknown; 1 and 3 are in theirs
select a, a in (select b from t as s where s.a = t.a), a not in (select b from t as s where s.a = t.a),
  (select max(b) from t as s where s.a = t.a)
from t
where a not in (select b + 1 from t as s where s.a = t.a)
order by a;
