"""The two classes of ours that a job names, the only ones that it may have FLARE build."""

ROUNDS = "brainct.flare.server.Rounds"
SITE = "brainct.flare.site.Site"
