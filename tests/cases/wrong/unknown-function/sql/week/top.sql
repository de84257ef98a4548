select iif(id > 1, 1, 2) as id
from tv.program
