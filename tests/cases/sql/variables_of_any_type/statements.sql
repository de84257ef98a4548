set (day, share) = ('2024-02-29'::date, 1.5::float);
set at = '10:30:00'::time;
select dateadd(year, 1, $day) as day, $share + 1 as share, $at > '10:00:00'::time as later;
