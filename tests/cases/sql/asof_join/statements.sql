create table watched (id int, channel varchar, at timestamp);
insert into watched values
  (1, 'a', '2026-11-01 20:30'), (2, 'a', '2026-11-01 19:59:59'), (3, 'b', '2026-11-01 21:00'),
  (4, null, '2026-11-01 20:30'), (5, 'a', null), (6, 'c', '2026-11-01 20:30'), (7, 'a', '2026-11-02 08:00');
create table schedule (channel varchar, start_at timestamp, title varchar);
insert into schedule values
  ('a', '2026-11-01 20:00', 'News'), ('a', '2026-11-01 20:30', 'Film'), ('b', '2026-11-01 20:45', 'Match'),
  ('b', '2026-11-01 21:15', 'Late'), (null, '2026-11-01 20:00', 'Nowhere'), ('a', null, 'Never');
-- 2 is before the first of its channel; 4, 5 and 6 have nothing to match by, or nothing that matches; 7 is long after the last
select w.id, s.title, s.start_at is null
from watched as w asof join schedule as s match_condition (w.at >= s.start_at) using (channel)
order by w.id;
