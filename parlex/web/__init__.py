"""What is held, served by HTTP: the only place that knows a web framework."""
