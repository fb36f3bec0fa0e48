"""A semi-Markov CRF as a layer: from what an encoder says of every position to segments, and a loss of theirs."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from . import targets
from .centring import KINDS, Centring, centred
from .checkpoints import Checkpointed
from .constraints import Constraints, constrained
from .counting import begun
from .durations import Given, Law, family, tabulate
from .errors import SemisegError
from .hidden_states import check_finite, checked, inside
from .kernels import Boundary, Calls, Potentials, Segments, entropy, log_partition, marginals, viterbi
from .kernels.devices import moved
from .kernels.errors import InfeasibleError
from .kernels.expansion import Relabelled, contract, plain
from .kernels.potentials import Edge
from .label_grammar import LabelGrammar
from .path_score import path_of, path_score, segment_scores
from .targets import Rules, Target

Durations: TypeAlias = str | Callable[[Tensor], Tensor]
Reduction: TypeAlias = Literal["sequence", "position", "sum", "none"]
REDUCTIONS = ("sequence", "position", "sum", "none")
# what a checkpoint must agree with, beyond the shapes of its tensors
STORED = (
    "names",
    "shortest",
    "longest",
    "endless",
    "hidden",
    "durations",
    "boundaries",
    "transitions_by_duration",
    "centring",
    "edges",
)


class Decoding(NamedTuple):
    """The best segmentation of every item."""

    score: Tensor  # (B,) of the whole segmentation
    segments: Segments
    segment_score: Tensor  # (N,) what each segment adds, with the change of labels before it
    calls: Calls  # posteriors of each segment, and 95 % credible intervals of its ends

    def per_item(self) -> list[list[tuple[int, int, int]]]:
        """Return (start, end, label) of the segments of every item."""
        return self.segments.per_item(len(self.score))


class Posteriors(NamedTuple):
    """What is known about every position and boundary; probabilities."""

    log_partition: Tensor  # (B,) float64
    start: Tensor  # (B, T + 1, C) a segment of c starts at boundary t
    end: Tensor  # (B, T + 1, C) a segment of c ends at boundary t
    position: Tensor  # (B, T, C) position i is covered by c
    entropy: Tensor  # (B,) nats over whole segmentations

    @property
    def segments(self) -> Tensor:
        """Return (B, C) how many segments of each label are expected, float64."""
        return begun(self.start, self.position)


class SemiCRF(Checkpointed):
    """Segments of sequences from the hidden states (B, T, hidden) of an encoder.

        labels         their number, or names
        max_duration   longest explicit duration, of all labels or of each; cost grows with it; then the tail goes on
        hidden         width of the encoder's states; None: it gives the emissions (B, T, labels) themselves
        durations      a family of semiseg.durations.FAMILIES, or a function of the lengths (K,) that gives log weights
                       (K,) or (K, labels); or one of these for each label
        tail           whether longer segments than max_duration are possible, as by default; for all labels or each
        boundaries     whether the encoder also scores the places where segments start and end
        ends           whether labels have scores for opening and closing a sequence
        repeats        whether a label may follow itself (labels (B, T) then say nothing of cuts, and all are summed);
                       None: at max_duration 1 without a tail, a linear chain
        grammar        a LabelGrammar in place of labels and repeats
        transitions_by_duration   changes of labels are scored by the duration of the segment entered (slower)
        centring       "per-sequence" or "running": each label's emissions less their mean (running: so far), which
                       changes the model
        edges          "censored": sequences are cut out of longer ones, and their ends cut segments
        reduction      of the loss: mean per "sequence" or "position", "sum", or "none"
        focus          sequences the model is unsure of weigh up to 1 + focus times their share, 1 in the mean of a
                       batch; 0: all the same
        penalty        weight of `penalty()` in the loss

    >>> crf = SemiCRF(labels=3, max_duration=10, hidden=8)
    >>> hidden = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0))
    >>> loss = crf.loss(hidden, [[(0, 20, 1), (20, 50, 2)], [(0, 30, 0), (30, 40, None)]], torch.tensor([50, 40]))
    >>> loss.backward()
    >>> crf.marginals(hidden).position.shape
    torch.Size([2, 50, 3])
    """

    law_of: Tensor  # (C,) column of each label in the table of the laws
    allowed: Tensor  # (P, C, C)
    types: Tensor  # (C, C) types of boundaries, -1: none
    opens: Tensor  # (C,)
    closes: Tensor  # (C,)

    def __init__(
        self,
        labels: int | Sequence[str] | None = None,
        max_duration: int | Sequence[int] = 100,
        hidden: int | None = None,
        durations: Durations | Sequence[Durations] = "lognormal",
        tail: bool | Sequence[bool] = True,
        boundaries: bool = False,
        *,
        ends: bool = True,
        repeats: bool | None = None,
        grammar: LabelGrammar | None = None,
        transitions_by_duration: bool = False,
        centring: Centring | None = None,
        edges: Edge = "exact",
        reduction: Reduction = "sequence",
        focus: float = 0.0,
        penalty: float = 0.0,
    ):
        super().__init__()
        _one_of("centring", centring, (None, *KINDS))
        _one_of("edges", edges, ("exact", "censored"))
        _one_of("reduction", reduction, REDUCTIONS)
        if hidden is not None and not (isinstance(hidden, int) and hidden >= 1):
            raise SemisegError(f"hidden: expected a width >= 1, or None, got {hidden!r}")
        for name, weight in (("focus", focus), ("penalty", penalty)):
            if not 0 <= weight < float("inf"):
                raise SemisegError(f"{name}: expected a number >= 0, got {weight!r}")
        if hidden is None and boundaries:
            raise SemisegError("boundaries: expected hidden, the width of the states that boundaries are scored from")
        if edges == "censored" and transitions_by_duration:
            raise SemisegError("edges: expected 'exact' with transitions_by_duration, got 'censored'")
        self.hidden, self.centring, self.edges, self.reduction = hidden, centring, edges, reduction
        self.boundaries, self.transitions_by_duration = boundaries, transitions_by_duration
        self.focus, self.penalty_weight = focus, penalty
        chain = max_duration == 1 and not tail
        if not isinstance(grammar, LabelGrammar | None):
            raise SemisegError(f"grammar: expected a LabelGrammar (see its `read`), got {type(grammar).__name__}")
        self.grammar = grammar or LabelGrammar.every(names_of(labels), chain if repeats is None else repeats)
        self.names = self.grammar.labels
        C = len(self.names)
        if grammar is not None and labels is not None and names_of(labels) not in (grammar.labels, names_of(C)):
            raise SemisegError(f"labels: expected those of the grammar, {', '.join(grammar.labels)}, got {labels!r}")
        self.shortest = list(self.grammar.shortest)
        limits = zip(_each("max_duration", max_duration, C), self.grammar.longest, strict=True)
        self.longest = [K if limit is None else limit for K, limit in limits]
        tails = zip(_each("tail", tail, C), self.grammar.longest, strict=True)
        self.endless = [bool(x) and limit is None for x, limit in tails]
        for name, K, low, endless in zip(self.names, self.longest, self.shortest, self.endless, strict=True):
            if not isinstance(K, int):
                raise SemisegError(f"max_duration: expected integers, got {K!r}")
            if K < low + endless:
                with_tail = f" with a tail, {low} with tail=False" if endless else ""
                raise SemisegError(f"max_duration: expected at least {low + endless} for {name!r}{with_tail}, got {K}")
        self._add_laws(_each("durations", durations, C))
        self._add_grammar(ends)

    def _add_laws(self, durations: list[Durations]) -> None:
        """Make one module for all labels whose laws are of one family and of the same limits."""
        groups: dict[Any, list[int]] = {}
        for c, key in enumerate(zip(durations, self.longest, self.shortest, self.endless, strict=True)):
            groups.setdefault(key, []).append(c)
        self.laws = nn.ModuleList()
        for (kind, longest, shortest, endless), columns in groups.items():
            options = {"labels": len(columns), "tail": endless}
            if isinstance(kind, str):
                law = family(kind, longest, shortest, **options)
            elif callable(kind) and not isinstance(kind, Law):
                law = Given(longest, shortest, function=kind, **options)
            else:
                raise SemisegError(f"durations: expected a family or a function of lengths, got {type(kind).__name__}")
            self.laws.append(law)
        self.durations = [kind if isinstance(kind, str) else "function" for kind in durations]
        order = torch.tensor([c for columns in groups.values() for c in columns])
        self.register_buffer("law_of", order.argsort(), persistent=False)
        self._set_means(self._usual_lengths())

    def _usual_lengths(self) -> Tensor:
        """Return (C,) lengths to begin with: midway between the shortest and the longest, in proportion."""
        return (torch.tensor(self.shortest) * torch.tensor(self.longest)).double().sqrt()

    @torch.no_grad()
    def _set_means(self, mean: Tensor) -> None:
        """Set the laws around mean lengths (C,)."""
        laws = [law for law in self.laws if isinstance(law, Law)]
        columns = mean.to(self.law_of.device)[self.law_of.argsort()].split([law.columns[0] for law in laws])
        for law, part in zip(laws, columns, strict=True):
            law.around(part)

    def _add_grammar(self, ends: bool) -> None:
        """Make what scores changes of labels, ends of sequences, positions and boundaries."""
        g, C = self.grammar, len(self.names)
        for name, mask in (("allowed", g.allowed), ("types", g.types), ("opens", g.first), ("closes", g.last)):
            self.register_buffer(name, torch.from_numpy(mask.copy()), persistent=False)
        if self.transitions_by_duration and len(g.allowed) > 1:
            raise SemisegError("transitions_by_duration: expected a grammar without a period")
        rows = (max(self.longest) + 1,) if self.transitions_by_duration else ()
        self.transitions = nn.Parameter(torch.zeros(*rows, C, C))
        self.first = nn.Parameter(torch.zeros(C)) if ends else None
        self.last = nn.Parameter(torch.zeros(C)) if ends and self.edges == "exact" else None
        n = len(g.boundaries)
        # emissions, starts, ends, and types of boundaries from the states on either side
        self.widths = [C, *((C, C) if self.boundaries else ()), *((n, n) if n else ())]
        if self.hidden is None and n:
            raise SemisegError("grammar: types of boundaries are scored from hidden states: give hidden, their width")
        self.projection = None if self.hidden is None else nn.Linear(self.hidden, sum(self.widths))

    @property
    def rules(self) -> Rules:
        """What a segmentation must keep to."""
        chain = all(K == 1 for K in self.longest) and not any(self.endless)
        repeats = bool(self.grammar.allowed.diagonal(axis1=1, axis2=2).any())
        return Rules(self.grammar, tuple(self.longest), tuple(self.endless), self.edges == "censored", chain, repeats)

    def potentials(self, hidden: Tensor, lengths: Tensor | None = None, *, origin: int = 0) -> Potentials:
        """Return the model of a batch, for all that semiseg.kernels can do with one: samples, k-best, divergences.

        `origin` is the position of the first state, where a grammar has a period.
        """
        lengths = checked(hidden, lengths, len(self.names) if self.hidden is None else self.hidden)
        check_finite(hidden.detach(), lengths, forbidding=self.hidden is None)
        with torch.autocast(hidden.device.type, enabled=False):
            emissions, *evidence = self._seen(hidden, lengths)
            if self.centring is not None:
                emissions = centred(emissions, lengths, self.centring)
            table, order = tabulate(self.laws), self.law_of
            return Potentials(
                emissions,
                table.durations[:, order],
                torch.where(self._allowed(), self.transitions.double(), -torch.inf),
                table.longest.to(order.device)[order],
                table.tail[order],
                boundaries=self._boundaries(evidence),
                first=_scores(self.first, self.opens),
                last=None if self.edges == "censored" else _scores(self.last, self.closes),
                left=self.edges,
                right=self.edges,
                lengths=lengths.cpu(),
                origin=origin,
            )._replace(transitions_by_duration=self.transitions_by_duration)

    def _allowed(self) -> Tensor:
        return self.allowed[0] if len(self.allowed) == 1 else self.allowed

    def _seen(self, hidden: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return what the states score, in float32 or more whatever they come in; nothing behind a sequence's end."""
        wide = torch.promote_types(hidden.dtype, torch.float32)
        states = torch.where(inside(hidden, lengths)[..., None], hidden, 0).to(wide)
        if self.projection is None:
            return [states]
        weight, bias = (x.to(wide) for x in (self.projection.weight, self.projection.bias))
        return list(linear(states, weight, bias).split(self.widths, -1))

    def _boundaries(self, evidence: list[Tensor]) -> tuple[Boundary, ...]:
        """Return the maps of what is seen right and left of every boundary."""
        after = [pad(x, (0, 0, 0, 1)) for x in evidence[::2]]
        before = [pad(x, (0, 0, 1, 0)) for x in evidence[1::2]]
        maps = []
        if self.boundaries:
            label = torch.arange(len(self.names), device=self.types.device).expand_as(self.types)
            maps += [Boundary(after.pop(0), label), Boundary(before.pop(0), label.T)]
        if after:
            maps.append(Boundary(after[0] + before[0], self.types))
        return tuple(maps)

    def forward(self, hidden: Tensor, target: Target, lengths: Tensor | None = None, *, origin: int = 0) -> Tensor:
        """Return the loss, so that a layer on its own may be wrapped (DistributedDataParallel)."""
        return self.loss(hidden, target, lengths, origin=origin)

    def loss(
        self,
        hidden: Tensor,
        target: Target,
        lengths: Tensor | None = None,
        *,
        origin: int = 0,
        reduction: Reduction | None = None,
    ) -> Tensor:
        """Return minus the log likelihood of what is known, in nats: log Z less that of all that agrees with it.

        `target`: labels (B, T) of positions, -1 where unknown; kernels.Segments; or for each item a list of
        (start, end, label), None for an unknown stretch. `reduction` stands in place of the layer's own.
        """
        p = self.potentials(hidden, lengths, origin=origin)
        assert p.lengths is not None
        known = self._known(p, target)
        each = log_partition(p) - known
        if self.focus:
            each = each * self._attention(p)
        reduction = reduction or self.reduction
        _one_of("reduction", reduction, REDUCTIONS)
        total = each.sum()
        shares = {"sequence": total / len(each), "position": total / p.lengths.sum(), "sum": total, "none": each}
        loss = shares[reduction]
        if self.penalty_weight:
            loss = loss + self.penalty_weight * self.penalty()
        return loss.to(p.emissions.dtype)

    def _known(self, p: Potentials, target: Target) -> Tensor:
        """Return (B,) the log of all segmentations that agree with what is known."""
        assert p.lengths is not None
        lengths, rules, device = p.lengths.numpy(), self.rules, p.emissions.device
        T, C = p.emissions.shape[1:]
        if isinstance(target, Tensor):
            labels = targets.read_labels(target, lengths, T, C)
            path = targets.only_path(labels, lengths, rules)
        else:
            path = targets.read_path(target, self.names, lengths)
            if rules.by_position:
                labels = targets.painted(path, lengths)
                path = targets.only_path(labels, lengths, rules)
        if path is not None and not bool((path.label == targets.UNKNOWN).any()):
            targets.check_rules(path, lengths, rules, p.origin)
            path = moved(path, device)
            score = path_score(p, path)
            if bool((score == -torch.inf).any()):
                raise targets.impossible(path, segment_scores(p, path), self.names)
            return score
        if path is None:
            runs = path_of(labels, lengths, joined=not rules.by_position)
            targets.check_rules(runs, lengths, rules, p.origin, exact=False)
            wrong = targets.wrong_labels(labels, T, C)
        elif rules.repeats:
            raise SemisegError("target: unknown stretches beside known segments need repeats=False")
        else:
            targets.check_rules(path, lengths, rules, p.origin)
            wrong = targets.wrong_beside(path, lengths, T, C)
        forbidden = torch.from_numpy(wrong).to(device)
        try:
            return log_partition(p._replace(emissions=p.emissions.masked_fill(forbidden, -torch.inf)))
        except InfeasibleError as error:
            raise SemisegError(
                f"target: item {error.item}: no segmentation that the rules allow agrees with it: "
                f"none reaches boundary {error.position}"
            ) from None

    @torch.no_grad()
    def _attention(self, p: Potentials) -> Tensor:
        """Return (B,) weights of items by how unsure the model is of their positions, 1 in the mean."""
        assert p.lengths is not None
        unsure = entropy(p) / p.lengths.to(p.emissions.device)
        return (1 + self.focus * unsure / unsure.mean().clamp(min=1e-12)) / (1 + self.focus)

    def penalty(self) -> Tensor:
        """Return the squares of all scores of changes and ends, and of the steps between neighbouring durations."""
        scores = [x for x in (self.transitions, self.first, self.last) if x is not None]
        total = torch.stack([x.double().square().sum() for x in scores]).sum()
        steps = tabulate(self.laws).durations[1:].diff(dim=0)
        return total + torch.where(steps.isfinite(), steps, 0.0).square().sum()

    @torch.no_grad()
    def decode(
        self,
        hidden: Tensor,
        lengths: Tensor | None = None,
        *,
        origin: int = 0,
        level: float = 0.95,
        constraints: Constraints | Sequence[Constraints | None] | None = None,
    ) -> Decoding:
        """Return the best segmentation, exact at any length, with scores and posteriors of its segments.

        `constraints`: of all items, or a list with one an item; posteriors are those given that they hold.
        """
        p, label = self._kept(self.potentials(hidden, lengths, origin=origin), constraints)
        try:
            best = viterbi(p)
        except InfeasibleError as error:
            raise _contradiction(error, constraints) from None
        calls = marginals(p, want=(), segments=best.segments, concepts=label, level=level).calls
        assert calls is not None
        scores = segment_scores(p, best.segments)
        named = best.segments._replace(label=label.to(scores.device)[best.segments.label])
        return Decoding(best.score, named, scores, calls)

    @torch.no_grad()
    def marginals(
        self,
        hidden: Tensor,
        lengths: Tensor | None = None,
        *,
        origin: int = 0,
        constraints: Constraints | Sequence[Constraints | None] | None = None,
    ) -> Posteriors:
        """Return posteriors of starts, ends and positions, and the entropy of whole segmentations.

        `constraints` as in `decode`.
        """
        p, label = self._kept(self.potentials(hidden, lengths, origin=origin), constraints)
        try:
            found = marginals(p)
        except InfeasibleError as error:
            raise _contradiction(error, constraints) from None
        assert found.start is not None
        assert found.end is not None
        assert found.position is not None
        start, end, position = (contract(x, label, len(self.names)) for x in (found.start, found.end, found.position))
        return Posteriors(found.log_partition, start, end, position, entropy(p))

    def _kept(self, p: Potentials, constraints: Constraints | Sequence[Constraints | None] | None) -> Relabelled:
        """Return the model of what constraints leave."""
        return plain(p) if constraints is None else constrained(p, constraints, self.names)

    def fit_durations(self, target: Target, lengths: Tensor | None = None) -> None:
        """Set the laws around the mean durations of known segments: where training had better begin.

        `lengths` (B,): what of each item's labels is no padding.
        """
        if isinstance(target, Tensor):
            sizes = np.full(len(target), target.shape[1]) if lengths is None else lengths.cpu().numpy()
            path = path_of(targets.read_labels(target, sizes, target.shape[1], len(self.names)), sizes)
        else:
            path = targets.read_path(target, self.names)
        size, label = (x[path.label != targets.UNKNOWN].numpy() for x in (path.end - path.start, path.label))
        C = len(self.names)
        count, total = np.bincount(label, minlength=C), np.bincount(label, size, C)
        mean = torch.from_numpy(total / np.maximum(count, 1))
        self._set_means(torch.where(mean > 0, mean, self._usual_lengths()))

    def get_extra_state(self) -> Tensor:
        """Return what a checkpoint must agree with, as bytes in a tensor: files of tensors hold nothing else."""
        about = {name: getattr(self, name) for name in STORED} | {"grammar": self.grammar.rules()}
        return torch.frombuffer(bytearray(json.dumps(about).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Raise where a checkpoint is one of another layer."""
        try:
            stored = dict(json.loads(bytes(state.cpu().tolist())))
        except (AttributeError, TypeError, ValueError):
            raise SemisegError(
                "checkpoint: what it says of its layer cannot be read: it is one of something else"
            ) from None
        own = json.loads(bytes(self.get_extra_state().tolist()))
        for name in STORED:
            if stored.get(name) != own[name]:
                raise SemisegError(f"checkpoint: {name} is {stored.get(name)!r} there and {own[name]!r} in this layer")
        theirs = stored.get("grammar")
        for name, rule in own["grammar"].items():
            if not isinstance(theirs, dict) or theirs.get(name) != rule:
                raise SemisegError(f"checkpoint: its grammar is not this layer's: {name} differs")

    def extra_repr(self) -> str:
        return f"{len(self.names)} labels, durations to {max(self.longest)}"


def names_of(labels: int | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of labels: their numbers where only those are known."""
    if isinstance(labels, int) and not isinstance(labels, bool) and labels >= 1:
        return tuple(map(str, range(labels)))
    if isinstance(labels, Sequence) and not isinstance(labels, str) and 0 < len(labels) == len(set(labels)):
        return tuple(map(str, labels))
    raise SemisegError(f"labels: expected a number >= 1 or different names, got {labels!r}")


def _scores(scores: Tensor | None, allowed: Tensor) -> Tensor | None:
    """Return scores where something is allowed; None where nothing needs to be said."""
    if scores is None and bool(allowed.all()):
        return None
    return torch.where(allowed, 0.0 if scores is None else scores.double(), -torch.inf)


def _contradiction(error: InfeasibleError, constraints: object) -> Exception:
    """Return what to say where no segmentation is left."""
    if constraints is None:
        return error
    return SemisegError(
        f"constraints: item {error.item}: no segmentation that the model allows keeps to them: "
        f"none reaches boundary {error.position}"
    )


def _each(name: str, value: Any, labels: int) -> list[Any]:
    """Return one value a label."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * labels
    if len(value) != labels:
        raise SemisegError(f"{name}: expected one value or {labels}, one a label, got {len(value)}")
    return list(value)


def _one_of(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise SemisegError(f"{name}: expected {' or '.join(map(repr, known))}, got {value!r}")
