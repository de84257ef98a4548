select 1 +; select 2; selec 3;
