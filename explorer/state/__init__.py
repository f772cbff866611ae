"""The state of the screens, as pure functions of the events and of the cursor."""
