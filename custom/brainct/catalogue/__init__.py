"""The pages made from the registry of schemes: the table, the diagrams, the bytes a round costs."""
