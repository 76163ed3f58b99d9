"""paredown: make trained Keras models small enough to ship, as a batch job, with proof.

Start reading at ``pipeline.py``: it is the whole story on one screen.
"""

__version__ = "0.1.0"
