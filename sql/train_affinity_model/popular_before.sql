-- What most users liked before: the list that a model has to beat.
select program_id, count(distinct user_id) as viewers
from likes_before
group by program_id
