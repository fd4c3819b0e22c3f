"""The command line. Nothing imports it, and no module of it imports torch before a verb runs."""
