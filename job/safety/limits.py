"""How much a model file may unpack to: what is declared is judged before room is made for it.

The cases are zip bombs, and shapes (of CVE-2026-0897 and its like) that nothing in the file fills.
"""

# Weights hardly compress. Those of a model pruned to 99 % do by 40 times, a million zeros by 1,000.
MAX_RATIO = 100
# What is smaller does no harm.
FLOOR_BYTES = 1 << 26
# A configuration is some kilobytes for a layer; a model of a thousand layers has a few megabytes.
MAX_CONFIG_BYTES = 1 << 27


def most_bytes(packed: int) -> int:
    """The most that ``packed`` bytes of a model file may declare to hold."""
    return max(FLOOR_BYTES, packed * MAX_RATIO)
