"""What the monitor measures: whether served requests still look like the training data, and answers still hold."""
