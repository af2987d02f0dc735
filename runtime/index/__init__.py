"""A local index of embedded cases: the most similar ones, votes of the nearest, and what is unlike all of them.

from radiodino.runtime import Model
from radiodino.runtime.index import CaseIndex

index = CaseIndex.open("cases.index")
found = index.search(model.embed(["scan.dcm"]), k=8)   # found.indices, found.similarities: (1, 8)
"""

from .case_index import CaseIndex

__all__ = ["CaseIndex"]
