"""`python -m brainct.cli`, where the command is not on the path."""

from brainct.cli.main import main

main()
