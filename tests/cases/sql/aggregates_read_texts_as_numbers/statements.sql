select median('a');
