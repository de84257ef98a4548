select {{ 'a' | idnt }} as id
