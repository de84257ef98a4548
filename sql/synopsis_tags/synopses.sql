-- What programmes say of themselves.
select id as program_id, synopsis
from backend.program
where trim(synopsis) <> ''
