"""The pages for people: a read, a template and its words each, in English and French."""
