-- Who bookmarked what lately; a user counts once per programme.
select s.program_id, max(p.title) as title, count(distinct s.user_id) as cnt
from backend.scheduled_recording as s
left join backend.program as p on p.id = s.program_id
where s.scheduled_at > dateadd(day, -{{ bookmark_days }}, current_date)
group by s.program_id
order by cnt desc, s.program_id
