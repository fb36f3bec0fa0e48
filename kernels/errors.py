"""What the kernels raise, and what everything raises that cannot use what it is given."""


class SemisegError(ValueError):
    """Something outside the program is wrong; the message is one line that says what was expected and what came."""


class PotentialsError(SemisegError):
    """Scores that cannot be used as they are: one line that says what was expected and what came."""


class InfeasibleError(PotentialsError):
    """No segmentation has a score above -inf; `position` is the first boundary that no state reaches."""

    def __init__(self, item: int, position: int):
        super().__init__(f"no segmentation is possible: item {item}, no state reaches boundary {position}")
        self.item = item
        self.position = position

    def of(self, item: int) -> "InfeasibleError":
        """Return this error as that of one item of a batch."""
        return InfeasibleError(item, self.position)


class UndecidedError(RuntimeError):
    """A stream's best paths have not met within the positions it may keep; `position` is the last one decided."""

    def __init__(self, message: str, position: int):
        super().__init__(message)
        self.position = position


class OutOfMemoryError(RuntimeError):
    """Not even the smallest plan fits into the device's memory; the line says how many bytes were asked for."""

    def __init__(self, wanted: str):
        super().__init__(f"{wanted}, even for the smallest plan: use fewer or shorter sequences, or the CPU")
