select program_id, count(distinct user_id) as bookmarks
from tv.bookmark
where made_at >= current_date - {{ days }} and made_at < current_date
group by program_id
