select rank() over (partition by column1) from values (1), (2);
