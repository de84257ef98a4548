-- Who is in which programme.
with credits as (
  {{ credits() }}
)
select c.program_id, c.person_id
from credits as c
join catalogue as p on p.program_id = c.program_id
