"""Makes the scientific graphs beside this file, with the recipes of the wfcommons library.

They are those that FaaSFlow (ASPLOS'22) was measured on. The library wants numpy, pandas and matplotlib, so the
graphs are kept here instead of being made by each run:

    pip install wfcommons==1.6 && python tests/benchmarks/graphs/generate.py

A recipe cannot make a graph smaller than the smallest one it was learnt from: 69 tasks of Cycles, 54 of 1000Genome,
98 of SoyKB. Those are asked for where 50 cannot be had.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

SEED: Final = 7
ASKED: Final = {"epigenomics": (50, 100), "cycles": (69, 100), "genome": (54, 100), "soykb": (98, 120)}


def tasks(recipe: Any, number: int) -> list[dict[str, Any]]:
    """The tasks of one graph, each after those it needs: run time in seconds, bytes got from each of them."""
    import networkx as nx
    import numpy as np
    from wfcommons import WorkflowGenerator

    random.seed(SEED)
    np.random.seed(SEED)
    graph = WorkflowGenerator(recipe.from_num_tasks(number, exclude_graphs=set())).build_workflow()
    order = list(nx.lexicographical_topological_sort(graph))
    short = {name: f"t{index}" for index, name in enumerate(order, 1)}
    made = []
    for name in order:
        task = graph.tasks[name]
        needed = {file.file_id for file in task.input_files}
        after = {
            short[parent]: sum(file.size for file in graph.tasks[parent].output_files if file.file_id in needed)
            for parent in sorted(graph.predecessors(name), key=order.index)
        }
        made.append({"id": short[name], "program": task.name, "runtime_s": task.runtime, "after": after})
    return made


def main() -> None:
    from wfcommons.wfchef import recipes

    kinds: dict[str, Any] = {
        "epigenomics": recipes.EpigenomicsRecipe,
        "cycles": recipes.CyclesRecipe,
        "genome": recipes.GenomeRecipe,
        "soykb": recipes.SoykbRecipe,
    }
    for name, numbers in ASKED.items():
        for number in numbers:
            made = tasks(kinds[name], number)
            lines = ",\n".join(json.dumps(task) for task in made)
            path = Path(__file__).with_name(f"{name}-{len(made)}.json")
            path.write_text(f"[\n{lines}\n]\n")
            print(path.name)


if __name__ == "__main__":
    main()
