"""Sphinx settings: MyST pages, warnings are errors (`make docs`)."""

import importlib.metadata

project = "upweight"
author = "the upweight authors"
copyright = "the upweight authors, Apache-2.0"
release = importlib.metadata.version("upweight")
extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "figures"]
html_theme = "alabaster"
html_theme_options = {
    "description": "Which training rows made the model do this?",
    "fixed_sidebar": True,
    "page_width": "1160px",
    "body_max_width": "none",
}
html_static_path = ["_static"]  # custom.css: long lines of output wrap
html_show_sourcelink = False
# a page without script or a font from elsewhere reads the same; math is plain text where MathJax cannot be loaded
pygments_style = "friendly"
