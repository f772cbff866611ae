"""What a person types: the commands, their options, and how they end."""
