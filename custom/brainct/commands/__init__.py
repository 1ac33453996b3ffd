"""Commands of `brainct`, one module each."""
