"""A durable task queue, and the e-mails and text messages that run on it."""
