"""Shows the difference of a pull request as a comment."""
