"""What the platform costs, read off its templates and a dated, sourced table of prices."""
