"""The int64 record and tables of `conv_sweep`: names of their places. Behind those of `conv_plan`, which it shares."""

from __future__ import annotations

TAPS_D, TAPS_H, TAPS_W = range(80, 83)
FILTERS = 83  # output channels an input channel has
Z_PIECES, Z_LENGTH, Y_PARTS, X_PIECES = range(84, 88)  # how a channel's box is cut into jobs; planes of a piece
KEPT = 88  # scratch: input rows kept for sums along d
PLANE_STEP, ROW_STEP, LINE_STEP = range(89, 92)  # scratch: elements a ring, a row and a row summed along h
STAGE, LINES = 92, 93  # scratch: where input rows and rows summed along h lie, behind the rings
SLOT = 94  # elements of scratch a thread
Z_TABLE, Y_TABLE, X_TABLE, PLACES = range(95, 99)  # where the tables lie
LENGTH = 104

# A record of `Y_TABLE`: first output row, how many, and where the records of the rows they read lie: where the sums
# along d lie in a ring, whether they are still to be made, and of which row of the input (-1: of zeros).
Y_FIRST, Y_COUNT, Y_ROWS, Y_RECORD = range(4)
ROW_PLACE, ROW_FRESH, ROW_SOURCE, ROW_RECORD = range(4)
# A record of `X_TABLE`: first output voxel, how many, stored columns, position of the first, elements before position 0
# such that the first is aligned; of the columns that lie side by side in the input: first, how many, first element; the
# other stored ones and the positions filled from others.
X_FIRST, X_COUNT, X_STORED, X_POSITION, X_LEAD, X_COLUMN, X_RUN, X_SOURCE = range(8)
X_EXTRAS, X_EXTRAS_AT, X_FILLS, X_FILLS_AT, X_RECORD = range(8, 13)
