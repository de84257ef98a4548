-- Whom each user follows. User 0 follows the people whom most users follow.
select user_id, person_id from follows
union all
select 0 as user_id, person_id
from people
where followers > 0
qualify row_number() over (order by followers desc, person_id) <= {{ default_people }}
