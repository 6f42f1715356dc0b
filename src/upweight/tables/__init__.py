"""Tables as people have them: a file read, its columns understood, a model fitted to it, kept and loaded."""
