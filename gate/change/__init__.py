"""What a change of the application would do to what holds data, before anything is deployed."""
