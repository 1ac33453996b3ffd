"""A job folder and the configuration that it states, validated; runs nothing."""
