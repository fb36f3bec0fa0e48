"""A fitted model of states with names, colours and what is known about it, as a bundled one has them.

    python tests/bench/name_states.py MODEL RECIPE.toml OUTPUT

RECIPE has [about] (clade, data, licence), [validation] (figures), and [names] and [colours] by state: E1 = "Active".
"""

import sys
import tomllib
from pathlib import Path

from semiseg import hsmm_model


def main(model: Path, recipe: Path, output: Path) -> None:
    """Write the model with all of it."""
    plan = tomllib.loads(recipe.read_text())
    found = hsmm_model.load(model)
    of = {state: (plan["names"].get(state, state), plan["colours"].get(state, colour))
          for state, colour in zip(found.labels, found.colours, strict=True)}  # fmt: skip
    names, colours = ([pair[i] for pair in of.values()] for i in (0, 1))
    config = {**found.config, "names": names, "colours": colours}
    about = {**found.about, **plan["about"], "validation": plan["validation"]}
    hsmm_model.save(output, hsmm_model.StatesModel(found.hsmm, found.survey, config, about))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
