"""What the pages of forms and grids share: the thread that writes traits, files in pieces, outputs of cells."""
