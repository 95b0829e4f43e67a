"""`Explanations`: what `explain` returns, a list that can be drawn."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tlkeras.inputs.explaining import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Explanations(Sequence):
    """Explanations in the order of their inputs: a list that can be drawn.

    Args:
        items: `ImageExplanation`s or `TextExplanation`s.
    """

    def __init__(self, items: Sequence[Explanation]):
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: Any) -> Any:
        found = self._items[place]
        return Explanations(found) if isinstance(place, slice) else found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def plot(self, ax: "Axes | None" = None, *, columns: int | None = None) -> "Axes":
        """Draws all of them: pictures in a grid, texts below one another.

        Args:
            ax: Axes to draw on; a new figure by default.
            columns: Pictures per row. By default as many as make the grid square.

        Returns:
            The axes.

        Raises:
            ValueError: If there are none.
        """
        if not self:
            raise ValueError("There are no explanations to draw: no input was given.")
        return self[0].plot_all(self, ax, columns)

    def __repr__(self) -> str:
        return "[" + ",\n ".join(map(repr, self)) + "]"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>No explanations.</p>"
        return self[0].html_of_all(self)
