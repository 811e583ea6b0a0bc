"""Following: what changed for whom, and telling it to webhooks and e-mail addresses so that nothing is lost."""
