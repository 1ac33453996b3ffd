"""What may leave a site, under which promise, and what it cost."""
