select 'été' as saison
