"""Pictures of plain data, as matplotlib figures. Nothing is imported here: importing one file costs matplotlib."""
