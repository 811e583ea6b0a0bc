"""What is served, and how it is asked for, tagged and limited; without a web framework, and for whoever serves it."""
