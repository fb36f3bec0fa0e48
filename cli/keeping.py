"""What a command reads is never what it writes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

WRITTEN = ("output", "posteriors", "plot", "log")  # names of parameters
NAMED = ("model", "start")  # files, or names of models that come with the package


class Keeping(click.Command):
    """A command that refuses to write over one of its inputs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, or say which file is meant for both."""
        inputs = list(files({name: value for name, value in ctx.params.items() if name not in WRITTEN}))
        for output in files({name: ctx.params.get(name) for name in WRITTEN}):
            if any(output.samefile(path) for path in inputs):
                raise click.UsageError(f"{output} is read: give what is written another name", ctx)
        return super().invoke(ctx)


def files(parameters: dict[str, Any]) -> Iterator[Path]:
    """Yield the files there are among the values of parameters."""
    for name, value in parameters.items():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path) or (name in NAMED and isinstance(one, str)):
                path = Path(one)
                if path.is_file():
                    yield path
