"""``ZOO``: every bug of this book by its name, penalties first."""

from .entry import Entry
from .loops import LOOPS
from .penalties import PENALTIES
from .players import PLAYERS

ZOO: dict[str, Entry] = {**PENALTIES, **PLAYERS, **LOOPS}
