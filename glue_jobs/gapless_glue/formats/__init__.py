"""The formats that files may land in; each reader gives rows of text, so that one path judges them all."""
