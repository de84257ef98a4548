select {{ minmx('a') }} as id
