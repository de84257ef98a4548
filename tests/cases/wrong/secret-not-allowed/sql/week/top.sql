select {{ secret('/pipe/prod/key') }} as id
