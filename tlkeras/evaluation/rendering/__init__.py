"""How a report is shown: as text, as pictures, as HTML and as files."""
