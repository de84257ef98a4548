select b.program_id, count(distinct b.user_id) as cnt
from tv.bookmark as b
where b.made_at between dateadd(day, -{{ days }}, current_date) and dateadd(second, -1, current_date)
group by b.program_id
order by cnt desc
