-- Who watched what for long enough to have liked it.
select w.user_id, w.program_id
from dw.fact_watch as w
join catalogue as c on c.program_id = w.program_id
where w.date_day < current_date
group by w.user_id, w.program_id
having sum(w.duration) >= {{ liked_after }}
