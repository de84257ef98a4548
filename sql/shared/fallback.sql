-- What is popular with anyone and on air soon, for lists that would be short.
select u.program_id, r.title, u.next_start_at, max(r.score) as score
from ml.popular_recommendations as r
join upcoming as u on u.program_id = r.program_id
group by u.program_id, r.title, u.next_start_at
