"""The files of a data set -> its rows: what reads each type."""
