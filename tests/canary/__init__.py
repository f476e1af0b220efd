"""A secret is planted in every form, and every exit is read: it comes out of none."""
