"""Choose one action for each object within limits: a mixed-integer programme, checked again in whole numbers.

A solver computes in floating point and may overstep a limit by its tolerance. So each choice is added up again in
integers. One that oversteps is barred and the programme solved once more; where many lie that close to a limit, the
limit is drawn in, and the bound stays that of the limit as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_matrix, hstack, vstack

from cim.errors import CimError

BARRED, DRAWN_IN = 10, 20  # times that an overstepping choice is barred, and then that its limits are drawn in
INFEASIBLE = 2  # scipy's word for it


@dataclass(frozen=True, slots=True)
class Limit:
    """Σ of `amount` over what is chosen is at most `most`; amounts by option, whole numbers."""

    name: str
    amount: Sequence[int]
    most: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Options, each of one object: exactly one option of every object is chosen, and the benefit is greatest.

    Attributes
    ----------
    of : the object of each option, 0 … n-1
    benefit : of each option, whole
    same : pairs of options that are chosen together or not at all
    """

    of: Sequence[int]
    benefit: Sequence[int]
    limits: Sequence[Limit]
    same: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the options, the benefit that no choice can exceed, and what one unit of a limit is worth."""

    options: tuple[int, ...]
    bound: float
    prices: Mapping[str, float]


def choose(problem: Problem, gap: float, nodes: int) -> Choice | None:
    """Return the best choice; None where no choice keeps the limits.

    Parameters
    ----------
    gap : how far below the bound the benefit may stay, as a share of it
    nodes : branches that are tried at most; a limit in seconds would give another choice on another machine

    Raises
    ------
    CimError : the branches did not suffice for any choice.
    """
    if not problem.benefit:  # of which the solver knows nothing
        return Choice((), 0.0, {limit.name: 0.0 for limit in problem.limits})
    scale = float(max([1, *map(abs, problem.benefit)]))
    cost = -np.array(problem.benefit, dtype=np.float64) / scale
    equal = _equalities(problem)
    most = {limit.name: limit.most for limit in problem.limits}
    barred: list[LinearConstraint] = []
    bound = np.inf
    for tried in range(BARRED + DRAWN_IN):
        rows = [_row(limit, most[limit.name]) for limit in problem.limits]
        found = milp(
            cost,
            constraints=[equal, *(LinearConstraint(row, -np.inf, end) for row, end in rows), *barred],
            integrality=np.ones(len(cost)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": gap, "node_limit": nodes},
        )
        if found.status == INFEASIBLE and tried <= BARRED:
            return None
        if found.x is None:
            raise CimError(f"no choice was found in {nodes} branches ({found.message}); allow more, or a greater gap")
        if tried <= BARRED:
            bound = -float(found.mip_dual_bound) * scale
        options = tuple(int(option) for option in np.flatnonzero(found.x > 0.5))
        over = {limit.name: total(limit.amount, options) - limit.most for limit in problem.limits}
        if all(excess <= 0 for excess in over.values()):
            return Choice(options, bound, _prices(problem, cost, equal, scale))
        if tried < BARRED:
            row = np.zeros(len(cost))
            row[list(options)] = 1.0
            barred.append(LinearConstraint(row, -np.inf, len(options) - 1))
        else:
            most = {name: most[name] - (excess << (tried - BARRED)) * (excess > 0) for name, excess in over.items()}
    raise CimError("the solver oversteps a limit however far it is drawn in; the amounts differ too much in size")


def to_relax(problem: Problem, names: Sequence[str]) -> list[str]:
    """Return the fewest of these limits that must give way for any choice to be left; by name."""
    elastic = [limit for limit in problem.limits if limit.name in names]
    count = len(problem.benefit)
    equal = _equalities(problem)
    widened = csr_matrix(hstack([equal.A, csr_matrix((equal.A.shape[0], len(elastic)))]))
    constraints = [LinearConstraint(widened, equal.lb, equal.ub)]
    for limit in problem.limits:
        row, most = _row(limit, limit.most)
        give = np.zeros(len(elastic))
        if limit in elastic:
            give[elastic.index(limit)] = -(np.abs(row).sum() + abs(most))
        constraints.append(LinearConstraint(np.concatenate([row, give]), -np.inf, most))
    goal = np.concatenate([np.zeros(count), np.ones(len(elastic))])
    found = milp(goal, constraints=constraints, integrality=np.ones(len(goal)), bounds=Bounds(0, 1))
    if found.x is None:
        return []
    return sorted(limit.name for limit, relaxed in zip(elastic, found.x[count:], strict=True) if relaxed > 0.5)


def total(amount: Sequence[int], options: Sequence[int]) -> int:
    """Return the sum of the amounts of some options, exactly."""
    return sum(amount[option] for option in options)


def _row(limit: Limit, most: int) -> tuple[npt.NDArray[np.float64], float]:
    """Return a limit in numbers of the size that solvers like."""
    scale = float(max([1, *map(abs, limit.amount)]))
    return np.array(limit.amount, dtype=np.float64) / scale, most / scale


def _equalities(problem: Problem) -> LinearConstraint:
    objects = max(problem.of, default=-1) + 1
    options = len(problem.of)
    one_each = csr_matrix((np.ones(options), (problem.of, np.arange(options))), shape=(objects, options))
    rows = np.repeat(np.arange(len(problem.same)), 2)
    ends = np.array(problem.same, dtype=np.int64).ravel()
    signs = np.tile([1.0, -1.0], len(problem.same))
    together = csr_matrix((signs, (rows, ends)), shape=(len(problem.same), options))
    matrix = csr_matrix(vstack([one_each, together]))
    right = np.concatenate([np.ones(objects), np.zeros(len(problem.same))])
    return LinearConstraint(matrix, right, right)


def _prices(problem: Problem, cost: npt.NDArray[np.float64], equal: LinearConstraint, scale: float) -> dict[str, float]:
    """Return by how much the benefit grows for a unit more of each limit, were objects divisible."""
    if not problem.limits:
        return {}
    rows = [_row(limit, limit.most) for limit in problem.limits]
    relaxed = linprog(
        cost,
        A_ub=np.array([row for row, _ in rows]),
        b_ub=np.array([most for _, most in rows]),
        A_eq=equal.A,
        b_eq=equal.lb,
        bounds=(0, 1),
    )
    worth = -relaxed.ineqlin.marginals * scale
    units = [float(max([1, *map(abs, limit.amount)])) for limit in problem.limits]
    return {limit.name: float(w / u) for limit, w, u in zip(problem.limits, worth, units, strict=True)}
