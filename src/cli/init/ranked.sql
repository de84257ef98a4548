-- The programmes with the most hours, best first.
select
    w.program_id,
    p.title,
    w.hours,
    row_number() over (order by w.hours desc, w.program_id) as position
from watched as w
join tv.program as p on p.id = w.program_id
qualify position <= {{ top }}
