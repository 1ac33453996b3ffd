"""The subcommands of `brainct`, one a file; what is heavy is imported when a command runs."""
