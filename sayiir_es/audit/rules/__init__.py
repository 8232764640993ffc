"""What must hold of a history: one module for each kind of rule."""
