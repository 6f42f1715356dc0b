"""What people see: one set of words and blocks, drawn by two renderers (terminal, html)."""
