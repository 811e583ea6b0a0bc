"""``make bench``: Parlex against others that do the same work, and against the least that the work can cost."""
