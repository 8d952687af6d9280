"""The one error of this folder."""


class RememberError(Exception):
    """Memory that cannot be opened, read or written as asked: what happened, and the mend."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(f"{message} {mend}")
        self.message = message
        self.mend = mend
