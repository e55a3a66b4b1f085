"""A static page that classifies images in the visitor's browser; its files lie beside this one."""
