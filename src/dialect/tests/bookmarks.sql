select TITLE, count(distinct USER_ID) as cnt
from backend.scheduled_recording 
join backend.program
on backend.program.id = backend.scheduled_recording.program_id
where backend.scheduled_recording.SCHEDULED_AT > current_date - 14
group by TITLE
order by cnt desc
