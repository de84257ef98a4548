-- What users with a history then liked for the first time, in the days held out.
select distinct l.user_id, l.program_id
from likes as l
where l.date_day >= current_date - {{ held_out_days }}
  and l.user_id in (select user_id from likes_before)
  and not exists (select 1 from likes_before as b where b.user_id = l.user_id and b.program_id = l.program_id)
