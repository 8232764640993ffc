"""The pages: templates, and what fills them."""
