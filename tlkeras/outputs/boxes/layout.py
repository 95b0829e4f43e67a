"""What labels and outputs of a detector hold, column by column.

Labels of one picture are `(boxes, LABEL_COLUMNS)`, filled up with rows of class -1.
What the model gives of it is `(cells, OUTPUT_COLUMNS + classes)`: one row for each cell
of its feature maps. After suppression it is `(boxes, FOUND_COLUMNS)`, filled up with
rows of class -1. All boxes are x1, y1, x2, y2 as shares of the sides of the picture
that the model sees.
"""

# Box, class number, and whether it counts neither as right nor as missed.
CLASS, IGNORED = 4, 5
LABEL_COLUMNS = 6
# A box that an edge cuts, and of which less than this is seen, is ignored.
LEAST_SEEN = 0.3

# Box, and the cell that answers; probabilities of the classes follow.
CELL = slice(4, 8)
OUTPUT_COLUMNS = 8

# Box, class number, score.
SCORE = 5
FOUND_COLUMNS = 6

BOX = slice(0, 4)
