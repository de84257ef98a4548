-- Everyone gets a list; user 0 is anyone without a history.
select id as user_id from backend.user
union
select 0 as user_id
