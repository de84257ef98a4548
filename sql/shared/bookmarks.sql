-- Distinct users who bookmarked each programme lately: a bookmark made twice counts once.
select program_id, count(distinct user_id) as bookmarks
from backend.scheduled_recording
where scheduled_at > current_date - {{ bookmark_days }}
group by program_id
