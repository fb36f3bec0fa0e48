"""What a trained model was made from, for its header: the same for equal runs of one day."""

from datetime import date
from pathlib import Path
from typing import Any

from . import __version__
from .bundled import digest
from .recipe import Plan, SignalPlan


def provenance(plan: Plan | SignalPlan, **files: Path) -> dict[str, Any]:
    """Return names and hashes of the files learnt from (a folder has none), the recipe with its seed, and who and when.

    What the recipe says about the model stands beside it, and goes before it.
    """
    recipe = {name: value._asdict() if hasattr(value, "_asdict") else value for name, value in plan._asdict().items()}
    about = recipe.pop("about")
    return {
        **{name: path.name for name, path in files.items()},
        "sha256": {name: digest(path) for name, path in files.items() if path.is_file()},
        "semiseg": __version__,
        "date": date.today().isoformat(),
        "seed": plan.training.seed,
        "recipe": recipe,
        **about,
    }
