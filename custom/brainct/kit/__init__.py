"""Startup kits of FLARE: the policies installed in them and the check before a site takes part; starts no run."""
