-- The audiences' lists weighted by how much of the user's time goes to each audience.
select a.user_id, r.program_id, r.title, r.next_start_at, sum(a.share * r.score) as score
from user_affinities as a
join recommendations as r on r.affinity = a.affinity
group by a.user_id, r.program_id, r.title, r.next_start_at
