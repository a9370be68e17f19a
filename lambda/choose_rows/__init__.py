"""The function that chooses served rows of which the model was least sure, for people to label."""
