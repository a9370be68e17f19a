"""The function that takes in what people have answered of served rows."""
