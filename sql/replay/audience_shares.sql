-- How much of a user's time goes to the audiences of a programme.
select u.user_id, a.program_id, least(sum(u.share), 1) as share
from user_affinities as u
join external_sources.daily_prog_affinity as a on a.affinity = u.affinity
where u.user_id <> 0
group by u.user_id, a.program_id
