select p.id, p.titel
from tv.program as p
